#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

namespace troupe {

/// Reads little-endian values from a byte sequence, front to back, and never past its end: a read that
/// does not fit returns false and changes nothing. Views the bytes; they must outlive it. Not thread-safe.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) noexcept : bytes_(bytes) {}

  std::size_t offset() const noexcept { return offset_; }
  std::size_t size() const noexcept { return bytes_.size(); }
  std::size_t remaining() const noexcept { return bytes_.size() - offset_; }

  /// The next sizeof(T) bytes as an integer or IEEE float, whatever their alignment.
  template <class T>
  [[nodiscard]] bool read(T& value) noexcept {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>,
                  "bool has bit patterns that are no value");
    if (remaining() < sizeof(T)) return false;
    std::byte raw[sizeof(T)];
    std::memcpy(raw, bytes_.data() + offset_, sizeof(T));
    if constexpr (std::endian::native == std::endian::big) {
      for (std::size_t i = 0; i < sizeof(T) / 2; ++i) std::swap(raw[i], raw[sizeof(T) - 1 - i]);
    }
    std::memcpy(&value, raw, sizeof(T));
    offset_ += sizeof(T);
    return true;
  }

  /// The next `count` bytes, as a view. `count` comes from files, so it may be any 64-bit number.
  [[nodiscard]] bool read_bytes(std::uint64_t count, std::span<const std::byte>& out) noexcept {
    if (count > remaining()) return false;
    out = bytes_.subspan(offset_, static_cast<std::size_t>(count));
    offset_ += static_cast<std::size_t>(count);
    return true;
  }

  [[nodiscard]] bool skip(std::uint64_t count) noexcept {
    std::span<const std::byte> skipped;
    return read_bytes(count, skipped);
  }

 private:
  std::span<const std::byte> bytes_;
  std::size_t offset_ = 0;  // <= bytes_.size()
};

}  // namespace troupe
