#pragma once
// The blocks that quantized weights are stored in, as GGUF files have them (the layouts are those of ggml's
// ggml-common.h). All numbers are little endian, f16 is IEEE binary16. A block holds 32 or 256 consecutive
// weights of a row. The q of every type are codes that become weights by the formula given; the index of a
// weight inside its block is i.
//
// These types draw the layout, check its size and name its offsets; weights are read where they lie, by
// kernels/block_codec.cpp.

#include <cstddef>
#include <cstdint>

namespace troupe::blocks {

using f16 = std::uint16_t;

// ---- 32 weights. Four bits of a code: byte i % 16 of `low`, its low nibble for i < 16, else the high one.

/// weight = d * (q - 8)
struct Q4_0 {
  f16 d;
  std::uint8_t low[16];
};
static_assert(sizeof(Q4_0) == 18);

/// weight = d * q + m
struct Q4_1 {
  f16 d, m;
  std::uint8_t low[16];
};
static_assert(sizeof(Q4_1) == 20);

/// weight = d * (q - 16); bit i of the 32 in `high`, lowest first, is the fifth of q
struct Q5_0 {
  f16 d;
  std::uint8_t high[4];
  std::uint8_t low[16];
};
static_assert(sizeof(Q5_0) == 22 && offsetof(Q5_0, low) == 6);

/// weight = d * q + m
struct Q5_1 {
  f16 d, m;
  std::uint8_t high[4];
  std::uint8_t low[16];
};
static_assert(sizeof(Q5_1) == 24 && offsetof(Q5_1, low) == 8);

/// weight = d * q[i]
struct Q8_0 {
  f16 d;
  std::int8_t q[32];
};
static_assert(sizeof(Q8_0) == 34);

/// weight = d * iq4_values[q]
struct Iq4Nl {
  f16 d;
  std::uint8_t low[16];
};
static_assert(sizeof(Iq4Nl) == 18);

/// The 16 weights of a code of IQ4_NL and IQ4_XS, denser near 0 as weights are.
inline constexpr std::int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

// ---- 256 weights: eight sub-blocks of 32, or sixteen of 16, with scales of few bits and one f16 above.

/// weight = d * scale[i / 16] * q - dmin * min[i / 16]
/// scales[s]: scale s in the low nibble, min s in the high one.
/// q: 128 weights take 32 bytes of `low`; 32 of them two bits of each byte: byte i / 128 * 32 + i % 32, bits
/// 2 * (i / 32 % 4) and the next.
struct Q2K {
  std::uint8_t scales[16];
  std::uint8_t low[64];
  f16 d, dmin;
};
static_assert(sizeof(Q2K) == 84 && offsetof(Q2K, d) == 80);

/// weight = d * (scale[i / 16] - 32) * (q - 4)
/// q: two bits in `low` as in Q2_K; the third is bit i / 32 of high[i % 32].
/// scale s, 6 bits: the low four are a nibble of scales[s % 8], the low one for s < 8; the other two are bits
/// 2 * (s / 4) and the next of scales[8 + s % 4].
struct Q3K {
  std::uint8_t high[32];
  std::uint8_t low[64];
  std::uint8_t scales[12];
  f16 d;
};
static_assert(sizeof(Q3K) == 110 && offsetof(Q3K, scales) == 96 && offsetof(Q3K, d) == 108);

/// weight = d * scale[i / 32] * q - dmin * min[i / 32]
/// scales: scale s and min s of 6 bits. For s < 4 they are the low six bits of bytes s and 4 + s. For s >= 4
/// their low four bits are the low and the high nibble of byte 4 + s, their high two the top bits of bytes
/// s - 4 and s.
/// q: 64 weights take 32 bytes of `low`: byte i / 64 * 32 + i % 32, the low nibble for i / 32 even.
struct Q4K {
  f16 d, dmin;
  std::uint8_t scales[12];
  std::uint8_t low[128];
};
static_assert(sizeof(Q4K) == 144 && offsetof(Q4K, low) == 16);

/// As Q4_K; the fifth bit of q is bit i / 32 of high[i % 32].
struct Q5K {
  f16 d, dmin;
  std::uint8_t scales[12];
  std::uint8_t high[32];
  std::uint8_t low[128];
};
static_assert(sizeof(Q5K) == 176 && offsetof(Q5K, high) == 16 && offsetof(Q5K, low) == 48);

/// weight = d * scales[i / 16] * (q - 32)
/// q: 128 weights take 64 bytes of `low` and 32 of `high`. Four bits: byte i / 128 * 64 + i % 64 of `low`,
/// the low nibble where i % 128 < 64. The other two: byte i / 128 * 32 + i % 32 of `high`, bits 2 * (i / 32 %
/// 4) and the next.
struct Q6K {
  std::uint8_t low[128];
  std::uint8_t high[64];
  std::int8_t scales[16];
  f16 d;
};
static_assert(sizeof(Q6K) == 210 && offsetof(Q6K, scales) == 192 && offsetof(Q6K, d) == 208);

/// weight = d * (scale[i / 32] - 32) * iq4_values[q]
/// scale s, 6 bits: nibble s of scales_low, lowest first, and above it bits 2 * s and the next of
/// scales_high. q: as in eight blocks of Q4_0.
struct Iq4Xs {
  f16 d;
  std::uint16_t scales_high;
  std::uint8_t scales_low[4];
  std::uint8_t low[128];
};
static_assert(sizeof(Iq4Xs) == 136 && offsetof(Iq4Xs, low) == 8);

}  // namespace troupe::blocks
