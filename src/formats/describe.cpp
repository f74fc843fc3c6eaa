#include "formats/describe.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/utf8.hpp"

namespace troupe {
namespace {

namespace json = boost::json;

constexpr std::size_t text_bytes_max = 96;  // of a string in describe()
constexpr std::size_t template_bytes_max = 60;
constexpr std::size_t array_elements_max = 6;  // of an array in describe()
constexpr std::size_t json_elements_max = 16;

struct TypeCount {
  std::uint64_t tensors = 0;
  std::uint64_t parameters = 0;
  std::uint64_t bytes = 0;
};

// The facts that both forms begin with. What a file says wrongly (a number where a name belongs) counts as
// absent.
struct Summary {
  std::optional<std::string> architecture;
  std::optional<std::string> tokenizer;
  std::optional<std::uint64_t> context_length;
  std::uint64_t vocab_size = 0;
  std::uint64_t parameters = 0;
  std::optional<std::string> chat_template;
  std::map<TensorType, TypeCount> types;
};

template <class T>
std::optional<T> present(Result<std::optional<T>> value) {
  return value ? *std::move(value) : std::nullopt;
}

Summary summarize(const Checkpoint& checkpoint) {
  const Metadata& metadata = checkpoint.metadata;
  Summary out;
  out.architecture = present(metadata.get_string("general.architecture"));
  out.tokenizer = present(metadata.get_string("tokenizer.ggml.model"));
  if (out.architecture) out.context_length = present(metadata.get_u64(*out.architecture + ".context_length"));
  const auto tokens = metadata.get_strings("tokenizer.ggml.tokens");
  if (tokens && *tokens != nullptr) out.vocab_size = (*tokens)->size();
  out.chat_template = present(metadata.get_string("tokenizer.chat_template"));
  for (const TensorView& tensor : checkpoint.tensors) {
    TypeCount& count = out.types[tensor.type];
    count.tensors += 1;
    count.parameters += tensor.elements();
    count.bytes += tensor.data.size();
    out.parameters += tensor.elements();
  }
  return out;
}

using Share = std::pair<TensorType, TypeCount>;

// The type that most parameters have first.
std::vector<Share> by_share(const std::map<TensorType, TypeCount>& types) {
  std::vector<Share> out(types.begin(), types.end());
  std::stable_sort(out.begin(), out.end(),
                   [](const Share& a, const Share& b) { return a.second.parameters > b.second.parameters; });
  return out;
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  char text[16];
  std::snprintf(text, sizeof(text), "%.1f %%", 100 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

// 1185376 → "1.2 M"; exact below 1000.
std::string rounded(std::uint64_t n, double base, const char* const (&units)[5]) {
  double value = static_cast<double>(n);
  std::size_t unit = 0;
  while (value >= base && unit + 1 < std::size(units)) {
    value /= base;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f" : "%.2f", value);
  std::string out = text;
  return out.append(" ").append(units[unit]);
}

std::string count_text(std::uint64_t n) {
  std::string out = rounded(n, 1000, {"", "K", "M", "G", "T"});
  if (n < 1000) out.pop_back();
  return out;
}

std::string number_text(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

std::string text_of(std::uint64_t value) {
  return std::to_string(value);
}
std::string text_of(std::int64_t value) {
  return std::to_string(value);
}
std::string text_of(double value) {
  return number_text(value);
}
std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(const std::string& value) {
  return in_quotes(value, text_bytes_max);
}

template <class T>
std::string text_of(const std::vector<T>& values) {
  std::string out = "[";
  const std::size_t shown = std::min(values.size(), array_elements_max);
  for (std::size_t i = 0; i < shown; ++i) out.append(i > 0 ? ", " : "").append(text_of(values[i]));
  if (shown < values.size()) out += ", …";
  return out.append("] (").append(std::to_string(values.size())).append(" elements)");
}

void line(std::string& out, std::string_view label, const std::string& value) {
  out.append(label).append(label.size() < 16 ? 16 - label.size() : 1, ' ').append(value).append("\n");
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    out += step.valid ? text.substr(0, step.bytes) : std::string_view("\uFFFD");
    text.remove_prefix(step.bytes);
  }
  return out;
}

json::value json_of(std::uint64_t value) {
  return value;
}
json::value json_of(std::int64_t value) {
  return value;
}
json::value json_of(double value) {
  return std::isfinite(value) ? json::value(value) : json::value(nullptr);
}
json::value json_of(bool value) {
  return value;
}
json::value json_of(const std::string& value) {
  return json::value(valid_utf8(value));
}

template <class T>
json::value json_of(const std::vector<T>& values) {
  json::array shown;
  for (std::size_t i = 0; i < std::min(values.size(), json_elements_max); ++i)
    shown.push_back(json_of(values[i]));
  const char* element = std::is_same_v<T, std::string> ? "string"
                        : std::is_same_v<T, double>    ? "number"
                                                       : "integer";
  return json::object{{"element", element}, {"count", values.size()}, {"values", std::move(shown)}};
}

template <class T>
json::value json_or_null(const std::optional<T>& value) {
  return value ? json_of(*value) : json::value(nullptr);
}

/// "yes, 1234 bytes: {% for message in messages %}…"
std::string template_text(const std::string& text) {
  std::string_view first(text);
  first.remove_prefix(std::min(first.find_first_not_of(" \t\r\n"), first.size()));
  first = first.substr(0, first.find_first_of("\r\n"));
  return "yes, " + std::to_string(text.size()) + " bytes: " + in_quotes(first, template_bytes_max);
}

}  // namespace

std::string size_text(std::uint64_t bytes) {
  return rounded(bytes, 1024, {"bytes", "KiB", "MiB", "GiB", "TiB"});
}

std::string describe(const Checkpoint& checkpoint, bool with_tensors, std::span<const Fact> more) {
  const Summary summary = summarize(checkpoint);
  std::string out;
  line(out, "format", checkpoint.format);
  line(out, "file size",
       size_text(checkpoint.file_bytes) + " (" + std::to_string(checkpoint.file_bytes) + " bytes)");
  line(out, "architecture", summary.architecture ? printable(*summary.architecture) : "not stated");
  line(out, "parameters",
       count_text(summary.parameters) + " in " + std::to_string(checkpoint.tensors.size()) + " tensors");
  for (const auto& [type, count] : by_share(summary.types)) {
    line(out, "  " + std::string(tensor_type_info(type).name),
         percent(count.parameters, summary.parameters) + ", " + count_text(count.parameters) + " in " +
             std::to_string(count.tensors) + " tensors, " + size_text(count.bytes));
  }
  line(out, "context",
       summary.context_length ? std::to_string(*summary.context_length) + " tokens" : "not stated");
  line(out, "tokenizer",
       (summary.tokenizer ? printable(*summary.tokenizer) : "none") + ", " +
           std::to_string(summary.vocab_size) + " tokens");
  line(out, "chat template", summary.chat_template ? template_text(*summary.chat_template) : "no");
  for (const Fact& fact : more) line(out, fact.label, fact.text);

  out.append("\nmetadata (").append(std::to_string(checkpoint.metadata.size())).append(" keys)\n");
  for (const auto& [key, value] : checkpoint.metadata) {
    out.append("  ").append(printable(key)).append(" = ");
    out.append(std::visit([](const auto& v) { return text_of(v); }, value)).append("\n");
  }
  if (!with_tensors) return out;

  out.append("\ntensors (")
      .append(std::to_string(checkpoint.tensors.size()))
      .append(", outermost dimension first)\n");
  std::size_t width = 0;
  for (const TensorView& tensor : checkpoint.tensors) width = std::max(width, printable(tensor.name).size());
  for (const TensorView& tensor : checkpoint.tensors) {
    std::string name = printable(tensor.name);
    name.append(width - name.size(), ' ');
    std::string type(tensor_type_info(tensor.type).name);
    type.append(type.size() < 8 ? 8 - type.size() : 0, ' ');
    out.append("  ").append(name).append("  ").append(type).append(dims_text(tensor.dims));
    out.append("  ").append(size_text(tensor.data.size())).append("\n");
  }
  return out;
}

std::string describe_json(const Checkpoint& checkpoint, bool with_tensors, const std::string& more) {
  const Summary summary = summarize(checkpoint);
  json::array types;
  for (const auto& [type, count] : by_share(summary.types)) {
    types.push_back(json::object{{"type", tensor_type_info(type).name},
                                 {"tensors", count.tensors},
                                 {"parameters", count.parameters},
                                 {"bytes", count.bytes}});
  }
  json::object metadata;
  for (const auto& [key, value] : checkpoint.metadata) {
    metadata[valid_utf8(key)] = std::visit([](const auto& v) { return json_of(v); }, value);
  }
  json::object out{{"format", checkpoint.format},
                   {"file_bytes", checkpoint.file_bytes},
                   {"architecture", json_or_null(summary.architecture)},
                   {"parameters", summary.parameters},
                   {"context_length", json_or_null(summary.context_length)},
                   {"tokenizer", json_or_null(summary.tokenizer)},
                   {"vocab_size", summary.vocab_size},
                   {"chat_template", summary.chat_template.has_value()},
                   {"chat_template_text", json_or_null(summary.chat_template)},
                   {"tensor_types", std::move(types)}};
  if (!more.empty()) {
    const json::value members = json::parse("{" + more + "}");
    for (const auto& member : members.as_object()) out.insert(member);
  }
  out["metadata"] = std::move(metadata);
  if (with_tensors) {
    json::array tensors;
    for (const TensorView& tensor : checkpoint.tensors) {
      tensors.push_back(json::object{{"name", valid_utf8(tensor.name)},
                                     {"type", tensor_type_info(tensor.type).name},
                                     {"dims", json::array(tensor.dims.begin(), tensor.dims.end())},
                                     {"bytes", tensor.data.size()}});
    }
    out["tensors"] = std::move(tensors);
  }
  return json::serialize(out);
}

}  // namespace troupe
