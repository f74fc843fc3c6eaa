#pragma once
// The numbers of the GGUF format that its reader and its writer share; gguf.hpp draws the layout.

#include <cstdint>
#include <string_view>

#include "formats/checkpoint.hpp"
#include "formats/field_reader.hpp"

namespace troupe::gguf {

constexpr std::uint32_t magic = 0x46554747;  // "GGUF"
constexpr std::string_view alignment_key = "general.alignment";
constexpr std::uint64_t alignment_default = 32;
constexpr std::uint64_t alignment_min = 8;        // what the format asks for, and what 64-bit elements need
constexpr std::uint64_t alignment_max = 1 << 20;  // beyond the largest page size in use
constexpr std::uint64_t key_bytes_max = 65535;    // the format's own limit
constexpr std::uint32_t dims_max = 4;

enum class ValueType : std::uint32_t {
  u8,
  i8,
  u16,
  i16,
  u32,
  i32,
  f32,
  boolean,
  string,
  array,
  u64,
  i64,
  f64
};

constexpr bool is_alignment(std::uint64_t n) {
  return n >= alignment_min && n <= alignment_max && (n & (n - 1)) == 0;
}

constexpr std::uint64_t align_up(std::uint64_t n, std::uint64_t alignment) {
  return (n + alignment - 1) / alignment * alignment;
}

/// The string at the reader's position; `of` names it in errors: "the length of <of> is …".
Result<std::string_view> read_string(FieldReader& in, std::string_view of);

/// The value of `key`, whose type field is `type`, at the reader's position. Widened as Metadata says.
Result<MetadataValue> read_value(FieldReader& in, std::string_view key, std::uint32_t type);

}  // namespace troupe::gguf
