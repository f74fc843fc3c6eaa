#include "formats/smnd_metadata.hpp"

#include <boost/json.hpp>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

#include "base/try.hpp"
#include "base/utf8.hpp"

namespace troupe::smnd {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kDimensionMax = 1U << 24;  // as the model room has it
constexpr std::size_t kDepthMax = 32;              // ours is 3 deep
constexpr const char* kModelType = "TransformerModel";

Error bad(std::string what) {
  return {Errc::bad_file, std::move(what)};
}

const char* kind_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null: return "null";
    case json::kind::bool_: return "a boolean";
    case json::kind::int64:
    case json::kind::uint64: return "an integer";
    case json::kind::double_: return "a number with a fraction";
    case json::kind::string: return "a string";
    case json::kind::array: return "an array";
    case json::kind::object: return "an object";
  }
  return "nothing";
}

Result<std::uint64_t> dimension(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  const std::string field = std::string("metadata field ") + key;
  if (value == nullptr) return bad(field + " is missing");
  std::uint64_t number = 0;
  if (const std::int64_t* i = value->if_int64()) {
    number = *i < 0 ? 0 : static_cast<std::uint64_t>(*i);
  } else if (!value->is_uint64()) {
    return bad(field + " is " + kind_name(*value) + ", not an integer");
  }
  if (number >= 1 && number <= kDimensionMax) return number;
  return bad(field + " is " + json::serialize(*value) + "; expected 1 to " + std::to_string(kDimensionMax));
}

// As GGUF would give it back: f32 where that is enough.
double narrowed(double value) {
  const bool fits = std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max());
  return fits ? static_cast<double>(static_cast<float>(value)) : value;
}

template <class T, class Get>
MetadataValue array_of(const json::array& array, Get get) {
  std::vector<T> out;
  out.reserve(array.size());
  for (const json::value& value : array) out.push_back(get(value));
  return out;
}

// Null where GGUF has no such type.
std::optional<MetadataValue> to_gguf(const json::value& value) {
  const auto string_of = [](const json::value& v) { return std::string(v.get_string()); };
  if (value.is_bool()) return value.get_bool();
  if (value.is_string()) return string_of(value);
  if (value.is_uint64()) return value.get_uint64();
  if (value.is_double()) return narrowed(value.get_double());
  if (const std::int64_t* i = value.if_int64()) {
    if (*i < 0) return *i;
    return static_cast<std::uint64_t>(*i);
  }
  const json::array* array = value.if_array();
  if (array == nullptr) return std::nullopt;
  bool strings = true, integers = true, numbers = true;
  for (const json::value& v : *array) {
    strings = strings && v.is_string();
    integers = integers && v.is_int64();
    numbers = numbers && v.is_number();
  }
  if (strings) return array_of<std::string>(*array, string_of);
  if (integers) return array_of<std::int64_t>(*array, [](const json::value& v) { return v.get_int64(); });
  if (!numbers) return std::nullopt;
  return array_of<double>(*array, [](const json::value& v) { return narrowed(v.to_number<double>()); });
}

bool to_json(const MetadataValue& from, json::value& to) {
  return std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, std::string>) {
          to = value;
          return is_valid_utf8(value);
        } else if constexpr (std::is_same_v<T, double>) {
          to = value;
          return std::isfinite(value);
        } else if constexpr (std::is_arithmetic_v<T>) {
          to = value;
          return true;
        } else {
          json::array array;
          array.reserve(value.size());
          for (const auto& element : value) {
            if (!to_json(element, array.emplace_back(nullptr))) return false;
          }
          to = std::move(array);
          return true;
        }
      },
      from);
}

Status read_extra(const json::value* value, Metadata& kept) {
  if (value == nullptr || value->is_null()) return {};  // no vocabulary then
  const json::object* extra = value->if_object();
  if (extra == nullptr)
    return bad(std::string("metadata field Extra is ") + kind_name(*value) + ", not an object");
  for (const auto& [key, entry] : *extra) {
    if (!is_kept(key)) continue;
    auto translated = to_gguf(entry);
    if (!translated) {
      return bad("metadata field Extra." + printable(key) + " is " + kind_name(entry) +
                 "; expected a string, number, boolean, or an array of strings or numbers");
    }
    kept.insert(std::string(key), *std::move(translated));
  }
  const json::value* alphabet = extra->if_contains("Alphabet");
  if (alphabet == nullptr || kept.contains(kTokenizerKey)) return {};
  if (!alphabet->is_string()) {
    return bad(std::string("metadata field Extra.Alphabet is ") + kind_name(*alphabet) + ", not a string");
  }
  if (auto status = add_alphabet(alphabet->get_string(), kept); !status) {
    return bad("metadata field Extra.Alphabet: " + status.error().message);
  }
  return {};
}

Result<json::object> parse_object(std::string_view text) {
  json::parse_options options;
  options.max_depth = kDepthMax;
  json::error_code code;
  json::value value = json::parse(json::string_view(text.data(), text.size()), code, {}, options);
  if (code) return bad("the metadata is no JSON: " + code.message());
  if (!value.is_object()) return bad(std::string("the metadata is ") + kind_name(value) + ", not an object");
  return std::move(value.get_object());
}

bool says_the_same(const Metadata& kept, const Metadata& metadata) {
  for (const auto& [key, value] : kept) {
    const MetadataValue* other = metadata.find(key);
    if (other == nullptr || *other != value) return false;
  }
  for (const auto& [key, value] : metadata) {
    if (is_kept(key) && !kept.contains(key)) return false;
  }
  return true;
}

}  // namespace

std::vector<Parameter> parameters(const Config& config) {
  const std::uint64_t e = config.width;
  std::vector<Parameter> out;
  out.push_back({"token_embd.weight", {config.vocab_size, e}});
  out.push_back({"position_embd.weight", {config.context, e}});
  for (std::uint64_t layer = 0; layer < config.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    const auto pair = [&](const char* stem, std::vector<std::uint64_t> dims) {
      const std::uint64_t rows = dims[0];
      out.push_back({prefix + stem + ".weight", std::move(dims)});
      out.push_back({prefix + stem + ".bias", {rows}});
    };
    pair("attn_norm", {e});
    pair("attn_qkv", {3 * e, e});
    pair("attn_output", {e, e});
    pair("ffn_norm", {e});
    pair("ffn_up", {4 * e, e});
    pair("ffn_down", {e, 4 * e});
  }
  out.push_back({"output_norm.weight", {e}});
  out.push_back({"output_norm.bias", {e}});
  out.push_back({"output.weight", {config.vocab_size, e}});
  return out;
}

bool is_kept(std::string_view key) {
  if (key.starts_with("tokenizer.")) return true;
  // These describe the file that they stand in, not the model.
  return key.starts_with("general.") && key != "general.architecture" && key != "general.file_type" &&
         key != "general.alignment" && key != "general.quantization_version";
}

Status add_alphabet(std::string_view text, Metadata& out) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::set<char32_t> characters;
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Step step = utf8_step(rest);
    const std::string where = " at byte " + std::to_string(rest.data() - text.data());
    if (!step.valid) return Error{Errc::bad_argument, "the alphabet is no UTF-8" + where};
    if (step.code > 0xFFFF) {
      return Error{Errc::bad_argument, "the alphabet has the character " +
                                           in_quotes(rest.substr(0, step.bytes)) + where +
                                           "; SmallMind's alphabets end at U+FFFF"};
    }
    characters.insert(step.code);
    rest.remove_prefix(step.bytes);
  }
  if (characters.empty()) return Error{Errc::bad_argument, "the alphabet is empty"};
  std::vector<std::string> tokens;
  tokens.reserve(characters.size());
  for (const char32_t code : characters) tokens.push_back(utf8_encode(code));
  out.insert(kTokenizerKey, std::string("char"));
  out.insert("tokenizer.ggml.tokens", std::move(tokens));
  return {};
}

Result<ParsedMetadata> parse_metadata(std::string_view text) {
  TROUPE_TRY(const json::object object, parse_object(text));
  const json::value* type = object.if_contains("ModelType");
  if (type == nullptr) return bad("metadata field ModelType is missing");
  if (!type->is_string() || type->get_string() != kModelType) {
    const std::string is =
        type->is_string() ? in_quotes(std::string_view(type->get_string())) : kind_name(*type);
    return bad("metadata field ModelType is " + is + ", not '" + kModelType + "'");
  }
  ParsedMetadata out;
  TROUPE_TRY(out.config.vocab_size, dimension(object, "VocabSize"));
  TROUPE_TRY(out.config.context, dimension(object, "BlockSize"));
  TROUPE_TRY(out.config.width, dimension(object, "EmbedDim"));
  TROUPE_TRY(out.config.heads, dimension(object, "NumHeads"));
  TROUPE_TRY(out.config.layers, dimension(object, "NumLayers"));
  if (out.config.width % out.config.heads != 0) {
    return bad("metadata field EmbedDim is " + std::to_string(out.config.width) +
               ", no multiple of NumHeads " + std::to_string(out.config.heads));
  }
  if (out.config.parameters() > static_cast<std::uint64_t>(kParametersMax)) {
    return bad("metadata field NumLayers is " + std::to_string(out.config.layers) + ", which takes " +
               std::to_string(out.config.parameters()) + " parameters; the format allows " +
               std::to_string(kParametersMax));
  }
  TROUPE_TRY_STATUS(read_extra(object.if_contains("Extra"), out.kept));
  out.kept.insert(kTokenizerKey, std::string(kNoTokenizer));  // where there is no other
  return out;
}

Result<std::string> metadata_text(const Config& config, const Metadata& metadata, std::string_view previous) {
  // A text that is not ours to parse (hand-made, or of another program) only loses its place.
  json::object extra;
  if (const auto parsed = parse_metadata(previous)) {
    if (parsed->config == config && says_the_same(parsed->kept, metadata)) return std::string(previous);
    if (auto object = parse_object(previous)) {
      if (json::value* value = object->if_contains("Extra"); value != nullptr && value->is_object()) {
        extra = std::move(value->get_object());
      }
    }
  }
  json::object rest;
  for (auto& [key, value] : extra) {
    if (!is_kept(key) && key != "Alphabet") rest[key] = std::move(value);
  }
  for (const auto& [key, value] : metadata) {
    if (!is_kept(key) || (key == kTokenizerKey && value == MetadataValue(std::string(kNoTokenizer))))
      continue;
    if (!to_json(value, rest[key])) {
      return Error{Errc::unsupported,
                   "metadata key " + in_quotes(key) +
                       " holds text that is no UTF-8, or a number that is not finite: JSON "
                       "has no such values"};
    }
  }
  return json::serialize(json::object{{"ModelType", kModelType},
                                      {"VocabSize", config.vocab_size},
                                      {"BlockSize", config.context},
                                      {"EmbedDim", config.width},
                                      {"NumHeads", config.heads},
                                      {"NumLayers", config.layers},
                                      {"FfnHiddenDim", 4 * config.width},
                                      {"Extra", std::move(rest)}});
}

}  // namespace troupe::smnd
