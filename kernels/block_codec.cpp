#include "kernels/block_codec.hpp"

#include <bit>
#include <cstring>

#include "base/weight_blocks.hpp"
#include "kernels/f16.hpp"

namespace troupe {
namespace {

// Words of four columns are put together from bytes as they lie in memory.
static_assert(std::endian::native == std::endian::little);

template <class T>
T load(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

std::uint32_t word(const std::uint8_t* bytes, std::size_t index) {
  return load<std::uint32_t>(bytes + 4 * index);
}

constexpr std::uint32_t each(std::uint32_t byte) {
  return byte * 0x01010101u;
}

/// Blocks of 32 with nibbles: sixteen bytes at `low`.
void nibbles(const std::uint8_t* low, std::uint32_t* words) {
  for (std::size_t j = 0; j < 4; ++j) {
    const std::uint32_t pair = word(low, j);
    words[j] = pair & each(15);
    words[4 + j] = pair >> 4 & each(15);
  }
}

/// ... and the fifth bits, one after the other.
void fifth_bits(const std::uint8_t* high, std::uint32_t* words) {
  const auto bits = load<std::uint32_t>(high);
  for (std::size_t j = 0; j < 8; ++j) {
    const std::uint32_t four = bits >> 4 * j;
    words[j] |= (four & 1) << 4 | (four & 2) << 11 | (four & 4) << 18 | (four & 8) << 25;
  }
}

BlockScales one_scale(float d) {
  return {{d, d}, {0, 0}};
}
BlockScales one_scale(float d, float min) {
  return {{d, d}, {min, min}};
}

// The types that have a function each: Block is a view of a block's bytes, which need not be aligned.
template <class Block>
Block view(const std::byte* bytes) {
  return load<Block>(bytes);
}

void read_q4_0(const std::byte* bytes, std::size_t, std::uint32_t* words) {
  nibbles(view<blocks::Q4_0>(bytes).low, words);
}
BlockScales scale_first(const std::byte* bytes, std::size_t) {
  return one_scale(f16_to_f32(load<std::uint16_t>(bytes)));
}
void read_q4_1(const std::byte* bytes, std::size_t, std::uint32_t* words) {
  nibbles(view<blocks::Q4_1>(bytes).low, words);
}
BlockScales scale_and_minimum_first(const std::byte* bytes, std::size_t) {
  return one_scale(f16_to_f32(load<std::uint16_t>(bytes)), -f16_to_f32(load<std::uint16_t>(bytes + 2)));
}
void read_q5_0(const std::byte* bytes, std::size_t, std::uint32_t* words) {
  const auto block = view<blocks::Q5_0>(bytes);
  nibbles(block.low, words);
  fifth_bits(block.high, words);
}
void read_q5_1(const std::byte* bytes, std::size_t, std::uint32_t* words) {
  const auto block = view<blocks::Q5_1>(bytes);
  nibbles(block.low, words);
  fifth_bits(block.high, words);
}
void read_q8_0(const std::byte* bytes, std::size_t, std::uint32_t* words) {
  std::memcpy(words, bytes + offsetof(blocks::Q8_0, q), 32);
}

/// Two bits of Q2_K and Q3_K.
void bit_pairs(const std::uint8_t* low, std::size_t sub, std::uint32_t* words) {
  for (std::size_t j = 0; j < 8; ++j) words[j] = word(low + sub / 4 * 32, j) >> 2 * (sub % 4) & each(3);
}
void read_q2_k(const std::byte* bytes, std::size_t sub, std::uint32_t* words) {
  bit_pairs(reinterpret_cast<const std::uint8_t*>(bytes) + offsetof(blocks::Q2K, low), sub, words);
}
BlockScales scales_q2_k(const std::byte* bytes, std::size_t sub) {
  const auto block = view<blocks::Q2K>(bytes);
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  BlockScales out;
  for (std::size_t half = 0; half < 2; ++half) {
    const unsigned pair = block.scales[2 * sub + half];
    out.scale[half] = d * static_cast<float>(pair & 15);
    out.min[half] = dmin * static_cast<float>(pair >> 4);
  }
  return out;
}
void read_q3_k(const std::byte* bytes, std::size_t sub, std::uint32_t* words) {
  const auto* base = reinterpret_cast<const std::uint8_t*>(bytes);
  bit_pairs(base + offsetof(blocks::Q3K, low), sub, words);
  for (std::size_t j = 0; j < 8; ++j)
    words[j] |= (word(base + offsetof(blocks::Q3K, high), j) >> sub & each(1)) << 2;
}
BlockScales scales_q3_k(const std::byte* bytes, std::size_t sub) {
  const auto block = view<blocks::Q3K>(bytes);
  BlockScales out{};
  for (std::size_t half = 0; half < 2; ++half) {
    const std::size_t s = 2 * sub + half;
    const int low = block.scales[s % 8] >> (s < 8 ? 0 : 4) & 15;
    const int high = block.scales[8 + s % 4] >> 2 * (s / 4) & 3;
    out.scale[half] = f16_to_f32(block.d) * static_cast<float>((high << 4 | low) - 32);
  }
  return out;
}

/// Four bits of Q4_K and Q5_K.
void nibbles_of_64(const std::uint8_t* low, std::size_t sub, std::uint32_t* words) {
  for (std::size_t j = 0; j < 8; ++j) words[j] = word(low + sub / 2 * 32, j) >> 4 * (sub % 2) & each(15);
}
void read_q4_k(const std::byte* bytes, std::size_t sub, std::uint32_t* words) {
  nibbles_of_64(reinterpret_cast<const std::uint8_t*>(bytes) + offsetof(blocks::Q4K, low), sub, words);
}
void read_q5_k(const std::byte* bytes, std::size_t sub, std::uint32_t* words) {
  const auto* base = reinterpret_cast<const std::uint8_t*>(bytes);
  nibbles_of_64(base + offsetof(blocks::Q5K, low), sub, words);
  for (std::size_t j = 0; j < 8; ++j)
    words[j] |= (word(base + offsetof(blocks::Q5K, high), j) >> sub & each(1)) << 4;
}
/// Q4_K and Q5_K begin alike.
BlockScales scales_q4_k(const std::byte* bytes, std::size_t sub) {
  const auto d = f16_to_f32(load<std::uint16_t>(bytes)), dmin = f16_to_f32(load<std::uint16_t>(bytes + 2));
  const auto* s = reinterpret_cast<const std::uint8_t*>(bytes) + offsetof(blocks::Q4K, scales);
  const int scale = sub < 4 ? s[sub] & 63 : (s[4 + sub] & 15) | s[sub - 4] >> 6 << 4;
  const int min = sub < 4 ? s[4 + sub] & 63 : s[4 + sub] >> 4 | s[sub] >> 6 << 4;
  return one_scale(d * static_cast<float>(scale), dmin * static_cast<float>(min));
}

void read_q6_k(const std::byte* bytes, std::size_t sub, std::uint32_t* words) {
  const auto* base = reinterpret_cast<const std::uint8_t*>(bytes);
  const std::uint8_t* low = base + sub / 4 * 64 + sub % 2 * 32;
  const std::uint8_t* high = base + offsetof(blocks::Q6K, high) + sub / 4 * 32;
  for (std::size_t j = 0; j < 8; ++j)
    words[j] = (word(low, j) >> (sub % 4 < 2 ? 0 : 4) & each(15)) | (word(high, j) >> 2 * (sub % 4) & each(3))
                                                                        << 4;
}
BlockScales scales_q6_k(const std::byte* bytes, std::size_t sub) {
  const float d = f16_to_f32(load<std::uint16_t>(bytes + offsetof(blocks::Q6K, d)));
  const auto* scales = reinterpret_cast<const std::int8_t*>(bytes) + offsetof(blocks::Q6K, scales);
  return {{d * static_cast<float>(scales[2 * sub]), d * static_cast<float>(scales[2 * sub + 1])}, {0, 0}};
}

void read_iq4_xs(const std::byte* bytes, std::size_t sub, std::uint32_t* words) {
  nibbles(reinterpret_cast<const std::uint8_t*>(bytes) + offsetof(blocks::Iq4Xs, low) + 16 * sub, words);
}
BlockScales scales_iq4_xs(const std::byte* bytes, std::size_t sub) {
  const float d = f16_to_f32(load<std::uint16_t>(bytes));
  const auto high = load<std::uint16_t>(bytes + offsetof(blocks::Iq4Xs, scales_high));
  const auto low = load<std::uint32_t>(bytes + offsetof(blocks::Iq4Xs, scales_low));
  const int scale = static_cast<int>((low >> 4 * sub & 15) | (high >> 2 * sub & 3u) << 4);
  return one_scale(d * static_cast<float>(scale - 32));
}

constexpr CodeKind plain = CodeKind::offset, table = CodeKind::iq4_table;

// Fields are in the order in which they are packed: the f16 first.
constexpr BlockCodec codecs[] = {
    {TensorType::q4_0, 32, 18, 4, plain, 8, {{0, 2}}, read_q4_0, scale_first},
    {TensorType::q4_1, 32, 20, 4, plain, 0, {{0, 2}, {2, 2}}, read_q4_1, scale_and_minimum_first},
    {TensorType::q5_0, 32, 22, 5, plain, 16, {{0, 2}}, read_q5_0, scale_first},
    {TensorType::q5_1, 32, 24, 5, plain, 0, {{0, 2}, {2, 2}}, read_q5_1, scale_and_minimum_first},
    {TensorType::q8_0, 32, 34, 8, CodeKind::signed8, 0, {{0, 2}}, read_q8_0, scale_first},
    {TensorType::q2_k,
     256,
     84,
     2,
     plain,
     0,
     {{80, 2}, {82, 2}, {0, 4}, {4, 4}, {8, 4}, {12, 4}},
     read_q2_k,
     scales_q2_k},
    {TensorType::q3_k,
     256,
     110,
     3,
     plain,
     4,
     {{108, 2}, {96, 4}, {100, 4}, {104, 4}},
     read_q3_k,
     scales_q3_k},
    {TensorType::q4_k,
     256,
     144,
     4,
     plain,
     0,
     {{0, 2}, {2, 2}, {4, 4}, {8, 4}, {12, 4}},
     read_q4_k,
     scales_q4_k},
    {TensorType::q5_k,
     256,
     176,
     5,
     plain,
     0,
     {{0, 2}, {2, 2}, {4, 4}, {8, 4}, {12, 4}},
     read_q5_k,
     scales_q4_k},
    {TensorType::q6_k,
     256,
     210,
     6,
     plain,
     32,
     {{208, 2}, {192, 4}, {196, 4}, {200, 4}, {204, 4}},
     read_q6_k,
     scales_q6_k},
    {TensorType::iq4_nl, 32, 18, 4, table, 0, {{0, 2}}, read_q4_0, scale_first},
    {TensorType::iq4_xs, 256, 136, 4, table, 0, {{0, 2}, {2, 2}, {4, 4}}, read_iq4_xs, scales_iq4_xs},
};

}  // namespace

const BlockCodec* find_codec(TensorType type) noexcept {
  for (const BlockCodec& codec : codecs)
    if (codec.type == type) return &codec;
  return nullptr;
}

void decode_codes(const BlockCodec& codec, const std::uint32_t words[8], const BlockScales& scales,
                  float* out) {
  for (std::size_t k = 0; k < 32; ++k) {
    const auto code = static_cast<std::uint8_t>(words[k / 4] >> 8 * (k % 4));
    int value = code - codec.code_offset;
    if (codec.kind == CodeKind::signed8) value = static_cast<std::int8_t>(code);
    if (codec.kind == CodeKind::iq4_table) value = blocks::iq4_values[code];
    // The product is exact: a scale has at most 19 bits, a value 7.
    out[k] = scales.scale[k / 16] * static_cast<float>(value) - scales.min[k / 16];
  }
}

}  // namespace troupe
