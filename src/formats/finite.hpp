#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace troupe {

/// Index of the first little-endian f32 in `data` that is infinite or not a number (all bits of the exponent
/// set); the number of elements when there is none. `data` need not be aligned.
inline std::size_t first_not_finite(std::span<const std::byte> data) noexcept {
  constexpr std::size_t chunk = 1024;  // without a branch for each element, the compiler vectorises this
  const std::size_t count = data.size() / sizeof(float);
  const auto at = [&](std::size_t i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, data.data() + i * sizeof(float), sizeof(bits));
    if constexpr (std::endian::native == std::endian::big) bits = __builtin_bswap32(bits);
    return static_cast<std::uint32_t>((bits & 0x7F800000U) == 0x7F800000U);
  };
  for (std::size_t begin = 0; begin < count; begin += chunk) {
    const std::size_t end = std::min(count, begin + chunk);
    std::uint32_t bad = 0;
    for (std::size_t i = begin; i < end; ++i) bad |= at(i);
    if (bad == 0) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if (at(i) != 0) return i;
    }
  }
  return count;
}

}  // namespace troupe
