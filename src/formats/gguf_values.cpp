// Metadata values: numbers, strings and arrays of them.

#include <string>
#include <utility>
#include <vector>

#include "base/try.hpp"
#include "formats/gguf_layout.hpp"

namespace troupe::gguf {
namespace {

// Bytes that a value takes at least: exactly, except for strings, which have a length field. 0: unknown type.
std::uint64_t value_bytes_min(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean: return 1;
    case ValueType::u16:
    case ValueType::i16: return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32: return 4;
    case ValueType::string:
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64: return 8;
    case ValueType::array: return 12;
  }
  return 0;
}

std::string of_key(std::string_view what, std::string_view key) {
  std::string out(what);
  out.append(" of metadata key ").append(in_quotes(key));
  return out;
}

Error unknown_type(FieldReader& in, std::string_view what, std::string_view key, std::uint32_t type) {
  return in.bad(of_key(what, key) + " is " + std::to_string(type) + "; known are 0 to 12");
}

Error not_boolean(FieldReader& in, std::string_view what, std::string_view key, std::uint64_t value) {
  return in.bad(of_key(what, key) + " is " + std::to_string(value) + ", not 0 or 1");
}

// A `Stored` in the file, widened to `Wide`.
template <class Stored, class Wide>
Result<MetadataValue> read_number(FieldReader& in, std::string_view key) {
  Stored value = 0;
  if (!in.read(value)) return in.ends_in(of_key("the value", key));
  return MetadataValue(static_cast<Wide>(value));
}

// The caller has held `count` against the rest of the file.
template <class Stored, class Wide>
Result<MetadataValue> read_numbers(FieldReader& in, std::string_view key, std::uint64_t count) {
  std::vector<Wide> values;
  values.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    Stored value = 0;
    if (!in.read(value)) return in.ends_in(of_key("the array", key));
    values.push_back(static_cast<Wide>(value));
  }
  return MetadataValue(std::move(values));
}

Result<MetadataValue> read_boolean(FieldReader& in, std::string_view key) {
  std::uint8_t value = 0;
  if (!in.read(value)) return in.ends_in(of_key("the value", key));
  if (value > 1) return not_boolean(in, "the boolean value", key, value);
  return MetadataValue(value == 1);
}

Result<MetadataValue> read_booleans(FieldReader& in, std::string_view key, std::uint64_t count) {
  auto result = read_numbers<std::uint8_t, std::uint64_t>(in, key, count);
  if (!result) return result;
  for (const std::uint64_t value : std::get<std::vector<std::uint64_t>>(*result)) {
    if (value > 1) return not_boolean(in, "an element of the boolean array", key, value);
  }
  return result;
}

Result<MetadataValue> read_strings(FieldReader& in, std::string_view key, std::uint64_t count) {
  std::vector<std::string> values;
  values.reserve(static_cast<std::size_t>(count));
  const std::string field = of_key("an element", key);
  for (std::uint64_t i = 0; i < count; ++i) {
    TROUPE_TRY(const std::string_view text, read_string(in, field));
    values.emplace_back(text);
  }
  return MetadataValue(std::move(values));
}

Result<MetadataValue> read_array(FieldReader& in, std::string_view key) {
  std::uint32_t type = 0;
  std::uint64_t count = 0;
  if (!in.read(type)) return in.ends_in(of_key("the array type", key));
  if (!in.read(count)) return in.ends_in(of_key("the array count", key));
  const auto element = static_cast<ValueType>(type);
  if (value_bytes_min(element) == 0) return unknown_type(in, "the array type", key, type);
  if (element == ValueType::array) {
    return in.error(Errc::unsupported,
                    of_key("the array type", key) + " is 9: arrays of arrays are not supported");
  }
  TROUPE_TRY_STATUS(in.check_count(of_key("the array count", key), count, value_bytes_min(element)));
  switch (element) {
    case ValueType::u8: return read_numbers<std::uint8_t, std::uint64_t>(in, key, count);
    case ValueType::i8: return read_numbers<std::int8_t, std::int64_t>(in, key, count);
    case ValueType::u16: return read_numbers<std::uint16_t, std::uint64_t>(in, key, count);
    case ValueType::i16: return read_numbers<std::int16_t, std::int64_t>(in, key, count);
    case ValueType::u32: return read_numbers<std::uint32_t, std::uint64_t>(in, key, count);
    case ValueType::i32: return read_numbers<std::int32_t, std::int64_t>(in, key, count);
    case ValueType::u64: return read_numbers<std::uint64_t, std::uint64_t>(in, key, count);
    case ValueType::i64: return read_numbers<std::int64_t, std::int64_t>(in, key, count);
    case ValueType::f32: return read_numbers<float, double>(in, key, count);
    case ValueType::f64: return read_numbers<double, double>(in, key, count);
    case ValueType::boolean: return read_booleans(in, key, count);
    case ValueType::string: return read_strings(in, key, count);
    case ValueType::array: break;
  }
  return unknown_type(in, "the array type", key, type);
}

}  // namespace

Result<std::string_view> read_string(FieldReader& in, std::string_view of) {
  std::uint64_t length = 0;
  if (!in.read(length)) return in.ends_in(std::string("the length of ").append(of));
  std::span<const std::byte> bytes;
  if (!in.read_bytes(length, bytes)) {
    return in.bad(std::string("the length of ").append(of) + " is " + std::to_string(length) + ", but only " +
                  std::to_string(in.remaining()) + " bytes follow");
  }
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<MetadataValue> read_value(FieldReader& in, std::string_view key, std::uint32_t type) {
  switch (static_cast<ValueType>(type)) {
    case ValueType::u8: return read_number<std::uint8_t, std::uint64_t>(in, key);
    case ValueType::i8: return read_number<std::int8_t, std::int64_t>(in, key);
    case ValueType::u16: return read_number<std::uint16_t, std::uint64_t>(in, key);
    case ValueType::i16: return read_number<std::int16_t, std::int64_t>(in, key);
    case ValueType::u32: return read_number<std::uint32_t, std::uint64_t>(in, key);
    case ValueType::i32: return read_number<std::int32_t, std::int64_t>(in, key);
    case ValueType::u64: return read_number<std::uint64_t, std::uint64_t>(in, key);
    case ValueType::i64: return read_number<std::int64_t, std::int64_t>(in, key);
    case ValueType::f32: return read_number<float, double>(in, key);
    case ValueType::f64: return read_number<double, double>(in, key);
    case ValueType::boolean: return read_boolean(in, key);
    case ValueType::array: return read_array(in, key);
    case ValueType::string: {
      TROUPE_TRY(const std::string_view text, read_string(in, of_key("the value", key)));
      return MetadataValue(std::string(text));
    }
  }
  return unknown_type(in, "the value type", key, type);
}

}  // namespace troupe::gguf
