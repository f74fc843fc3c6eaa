#include "model/key_reader.hpp"

#include "base/utf8.hpp"

namespace troupe {
namespace {

Error bad(std::string message) {
  return {Errc::bad_file, std::move(message), 0};
}

Result<std::uint32_t> in_range(const std::string& key, std::uint64_t value, std::uint64_t least,
                               std::uint64_t most) {
  if (value < least || value > most) {
    return bad(key + " is " + std::to_string(value) + "; expected " + std::to_string(least) + " to " +
               std::to_string(most));
  }
  return static_cast<std::uint32_t>(value);
}

}  // namespace

bool KeyReader::is_array(const char* name) const {
  const MetadataValue* value = metadata_.find(key(name));
  return value != nullptr && (std::holds_alternative<std::vector<std::uint64_t>>(*value) ||
                              std::holds_alternative<std::vector<std::int64_t>>(*value));
}

Result<std::vector<std::int64_t>> KeyReader::integers(const char* name) const {
  TROUPE_TRY(auto values, metadata_.get_i64s(key(name)));
  if (!values) return bad("metadata key " + in_quotes(key(name)) + " is missing");
  return *std::move(values);
}

Result<std::uint64_t> KeyReader::number(const char* name) const {
  if (!is_array(name)) return metadata_.need_u64(key(name));
  TROUPE_TRY(const std::vector<std::int64_t> values, integers(name));
  if (values.empty()) return bad(key(name) + " is an empty array");
  for (const std::int64_t value : values) {
    if (value < 0) return bad(key(name) + " holds " + std::to_string(value) + ", which is negative");
    if (value == values.front()) continue;
    return Error{Errc::unsupported,
                 key(name) + " holds " + std::to_string(values.front()) + " and " + std::to_string(value) +
                     "; only layers that are alike are supported",
                 0};
  }
  return static_cast<std::uint64_t>(values.front());
}

Result<std::uint32_t> KeyReader::dimension(const char* name, std::uint64_t max) const {
  TROUPE_TRY(const std::uint64_t value, number(name));
  return in_range(key(name), value, 1, max);
}

Result<std::uint32_t> KeyReader::dimension_or(const char* name, std::uint32_t fallback) const {
  return has(name) ? dimension(name) : Result<std::uint32_t>(fallback);
}

Result<std::uint32_t> KeyReader::count_or(const char* name, std::uint32_t fallback, std::uint64_t max) const {
  if (!has(name)) return fallback;
  TROUPE_TRY(const std::uint64_t value, number(name));
  return in_range(key(name), value, 0, max);
}

Result<double> KeyReader::number_or(const char* name, double fallback) const {
  TROUPE_TRY(const auto value, metadata_.get_f64(key(name)));
  if (!value) return fallback;
  if (!std::isfinite(*value) || *value < 0) {
    return bad(key(name) + " is " + std::to_string(*value) + "; expected a number that is not negative");
  }
  return *value;
}

Result<double> KeyReader::positive_or(const char* name, double fallback) const {
  TROUPE_TRY(const double value, number_or(name, fallback));
  if (value > 0) return value;
  return bad(key(name) + " is " + std::to_string(value) + "; expected a positive number");
}

Result<bool> KeyReader::flag_or(const char* name, bool fallback) const {
  TROUPE_TRY(const auto value, metadata_.get_bool(key(name)));
  return value.value_or(fallback);
}

}  // namespace troupe
