#include "formats/checkpoint.hpp"

#include <limits>
#include <type_traits>
#include <utility>

#include "base/utf8.hpp"

namespace troupe {
namespace {

constexpr auto int64_max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

const char* type_name(const MetadataValue& value) {
  constexpr const char* names[] = {"an unsigned integer",
                                   "a signed integer",
                                   "a number",
                                   "a boolean",
                                   "a string",
                                   "an array of unsigned integers",
                                   "an array of signed integers",
                                   "an array of numbers",
                                   "an array of strings"};
  static_assert(std::size(names) == std::variant_size_v<MetadataValue>);
  return names[value.index()];
}

Error wrong_type(std::string_view key, const MetadataValue& value, const char* wanted) {
  return {Errc::bad_file, "metadata key " + in_quotes(key) + " is " + type_name(value) + ", not " + wanted};
}

Error missing(std::string_view key) {
  return {Errc::bad_file, "metadata key " + in_quotes(key) + " is missing"};
}

// get_… found a value, or says that the key is missing.
template <class T>
Result<T> required(std::string_view key, Result<std::optional<T>> got) {
  if (!got) return std::move(got).error();
  if (!got->has_value()) return missing(key);
  return std::move(**got);
}

template <class T>
Result<std::optional<T>> exact(const MetadataValue* value, std::string_view key, const char* wanted) {
  if (value == nullptr) return std::optional<T>();
  if (const auto* v = std::get_if<T>(value)) return std::optional<T>(*v);
  return wrong_type(key, *value, wanted);
}

template <class T>
constexpr bool is_number_v =
    std::is_same_v<T, std::uint64_t> || std::is_same_v<T, std::int64_t> || std::is_same_v<T, double>;

}  // namespace

const MetadataValue* Metadata::find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

// NOLINTNEXTLINE(performance-unnecessary-value-param): it is moved from, which clang-tidy 14 does not see
bool Metadata::insert(std::string key, MetadataValue value) {
  return values_.try_emplace(std::move(key), std::move(value)).second;
}

Result<std::optional<std::uint64_t>> Metadata::get_u64(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return std::optional<std::uint64_t>();
  if (const auto* u = std::get_if<std::uint64_t>(value)) return std::optional(*u);
  if (const auto* i = std::get_if<std::int64_t>(value)) {
    if (*i >= 0) return std::optional(static_cast<std::uint64_t>(*i));
    return Error{Errc::bad_file,
                 "metadata key " + in_quotes(key) + " is " + std::to_string(*i) + ", which is negative"};
  }
  return wrong_type(key, *value, "an unsigned integer");
}

Result<std::uint64_t> Metadata::need_u64(std::string_view key) const {
  return required(key, get_u64(key));
}

Result<std::optional<double>> Metadata::get_f64(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return std::optional<double>();
  return std::visit(
      [&](const auto& v) -> Result<std::optional<double>> {
        if constexpr (is_number_v<std::decay_t<decltype(v)>>) {
          return std::optional(static_cast<double>(v));
        } else {
          return wrong_type(key, *value, "a number");
        }
      },
      *value);
}

Result<std::optional<bool>> Metadata::get_bool(std::string_view key) const {
  return exact<bool>(find(key), key, "a boolean");
}

Result<std::optional<std::string>> Metadata::get_string(std::string_view key) const {
  return exact<std::string>(find(key), key, "a string");
}

Result<std::string> Metadata::need_string(std::string_view key) const {
  return required(key, get_string(key));
}

Result<const std::vector<std::string>*> Metadata::get_strings(std::string_view key) const {
  const MetadataValue* value = find(key);
  if (value == nullptr) return static_cast<const std::vector<std::string>*>(nullptr);
  if (const auto* v = std::get_if<std::vector<std::string>>(value)) return v;
  return wrong_type(key, *value, "an array of strings");
}

Result<std::optional<std::vector<double>>> Metadata::get_f64s(std::string_view key) const {
  using Wanted = std::optional<std::vector<double>>;
  const MetadataValue* value = find(key);
  if (value == nullptr) return Wanted();
  return std::visit(
      [&](const auto& v) -> Result<Wanted> {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::vector<double>>) {
          return Wanted(v);
        } else if constexpr (std::is_same_v<T, std::vector<std::uint64_t>> ||
                             std::is_same_v<T, std::vector<std::int64_t>>) {
          std::vector<double> out;
          out.reserve(v.size());
          for (const auto n : v) out.push_back(static_cast<double>(n));
          return Wanted(std::move(out));
        } else {
          return wrong_type(key, *value, "an array of numbers");
        }
      },
      *value);
}

Result<std::optional<std::vector<std::int64_t>>> Metadata::get_i64s(std::string_view key) const {
  using Wanted = std::optional<std::vector<std::int64_t>>;
  const MetadataValue* value = find(key);
  if (value == nullptr) return Wanted();
  if (const auto* v = std::get_if<std::vector<std::int64_t>>(value)) return Wanted(*v);
  if (const auto* v = std::get_if<std::vector<std::uint64_t>>(value)) {
    std::vector<std::int64_t> out;
    out.reserve(v->size());
    for (const std::uint64_t n : *v) {
      if (n > int64_max) {
        return Error{Errc::bad_file, "metadata key " + in_quotes(key) + " holds " + std::to_string(n) +
                                         " at index " + std::to_string(out.size()) +
                                         ", which does not fit 63 bits"};
      }
      out.push_back(static_cast<std::int64_t>(n));
    }
    return Wanted(std::move(out));
  }
  return wrong_type(key, *value, "an array of integers");
}

std::string dims_text(std::span<const std::uint64_t> dims) {
  std::string out = "[";
  for (const std::uint64_t dim : dims) out.append(out.size() > 1 ? ", " : "").append(std::to_string(dim));
  return out + "]";
}

const TensorView* Checkpoint::find(std::string_view name) const {
  if (index_.size() != tensors.size()) {  // no index (yet): look through the list
    for (const TensorView& tensor : tensors) {
      if (tensor.name == name) return &tensor;
    }
    return nullptr;
  }
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors[it->second];
}

bool Checkpoint::build_index(std::string& duplicate) {
  index_.clear();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (index_.try_emplace(tensors[i].name, i).second) continue;
    duplicate = tensors[i].name;
    index_.clear();
    return false;
  }
  return true;
}

}  // namespace troupe
