#pragma once
// IEEE 754 binary16 and bfloat16 in software, for the places where one value at a time is enough. All
// conversions agree bit for bit with the instructions (round to nearest, ties to even).

#include <bit>
#include <cstdint>

namespace troupe {

/// The float with the value of the half `bits`; exact, subnormals, infinities and NaN included.
inline float f16_to_f32(std::uint16_t bits) noexcept {
  const std::uint32_t magnitude = bits & 0x7FFFu;
  const std::uint32_t sign = (bits & 0x8000u) << 16;
  if (magnitude >= 0x7C00) return std::bit_cast<float>(sign | magnitude << 13 | 0x7F800000u);
  // A subnormal is a count of 2^-24. No float on the way is subnormal: a thread may read those as zeros.
  if (magnitude < 0x0400)
    return std::bit_cast<float>(sign |
                                std::bit_cast<std::uint32_t>(static_cast<float>(magnitude) * 0x1p-24f));
  return std::bit_cast<float>(sign |
                              ((magnitude << 13) + 0x38000000u));  // the bias of the exponent, 127 - 15
}

/// The half nearest to `value`; too large becomes infinity, NaN stays NaN.
inline std::uint16_t f32_to_f16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return sign | 0x7E00 | ((magnitude >> 13) & 0x1FF);  // NaN, made quiet
  if (magnitude >= 0x477FF000u) return sign | 0x7C00;                               // rounds to 65536 or more
  if (magnitude < 0x38800000u) {
    // Below 2^-14: adding 0.5 leaves the multiple of 2^-24 in the low bits, rounded by the addition.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return sign | static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(shifted) - 0x3F000000u);
  }
  const std::uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
  return sign | static_cast<std::uint16_t>((rounded - 0x38000000u) >> 13);
}

/// The float whose upper half is `bits`.
inline float bf16_to_f32(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// The nearest; too large becomes infinity, NaN stays NaN.
inline std::uint16_t f32_to_bf16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40);
  return static_cast<std::uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
}

}  // namespace troupe
