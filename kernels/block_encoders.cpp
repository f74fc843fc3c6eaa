#include "kernels/block_encoders.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/weight_blocks.hpp"
#include "kernels/f16.hpp"

namespace troupe {
namespace {

/// Cut off, not rounded, into low..high; NaN becomes low. Nothing here is undefined for any value.
int truncated(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  return value < static_cast<float>(high) ? static_cast<int>(value) : high;
}

/// The nearest integer in low..high, ties to even; NaN becomes low.
int nearest(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  if (!(value < static_cast<float>(high))) return high;
  constexpr float rounder = 0x1.8p23f;
  return static_cast<int>((value + rounder) - rounder);
}

float inverse_of(float d) {
  return d != 0 ? 1.0f / d : 0.0f;
}

/// The value of largest magnitude, the first of equals; 0 of none.
float largest_of(const float* x, std::size_t n) {
  float top = 0, value = 0;
  for (std::size_t i = 0; i < n; ++i)
    if (std::fabs(x[i]) > top) top = std::fabs(x[i]), value = x[i];
  return value;
}

template <class Block>
void store(const Block& block, std::byte* to) {
  std::memcpy(to, &block, sizeof block);
}

// ---- Blocks of 32, with the arithmetic of ggml's reference quantizers: the same bytes.

void encode_q8_0(const float* x, std::byte* out) {
  blocks::Q8_0 block;
  const float d = std::fabs(largest_of(x, 32)) / 127.0f, inverse = inverse_of(d);
  block.d = f32_to_f16(d);
  for (std::size_t i = 0; i < 32; ++i)
    block.q[i] = static_cast<std::int8_t>(truncated(std::round(x[i] * inverse), -127, 127));
  store(block, out);
}

/// Sixteen bytes of nibbles.
template <class Code>
void put_nibbles(Code code, std::uint8_t* low) {
  for (std::size_t i = 0; i < 16; ++i)
    low[i] = static_cast<std::uint8_t>((code(i) & 15) | (code(i + 16) & 15) << 4);
}
template <class Code>
void put_fifth_bits(Code code, std::uint8_t* high) {
  std::memset(high, 0, 4);
  for (std::size_t i = 0; i < 32; ++i) high[i / 8] |= static_cast<std::uint8_t>(code(i) >> 4 << i % 8);
}

void encode_q4_0(const float* x, std::byte* out) {
  blocks::Q4_0 block;
  const float d = largest_of(x, 32) / -8.0f, inverse = inverse_of(d);
  block.d = f32_to_f16(d);
  put_nibbles([&](std::size_t i) { return truncated(x[i] * inverse + 8.5f, 0, 15); }, block.low);
  store(block, out);
}

void encode_q5_0(const float* x, std::byte* out) {
  blocks::Q5_0 block;
  const float d = largest_of(x, 32) / -16.0f, inverse = inverse_of(d);
  const auto code = [&](std::size_t i) { return truncated(x[i] * inverse + 16.5f, 0, 31); };
  block.d = f32_to_f16(d);
  put_nibbles(code, block.low);
  put_fifth_bits(code, block.high);
  store(block, out);
}

struct Range {
  float low, high;
};
Range range_of(const float* x, std::size_t n) {
  Range range{x[0], x[0]};
  for (std::size_t i = 1; i < n; ++i) range = {std::min(range.low, x[i]), std::max(range.high, x[i])};
  return range;
}

void encode_q4_1(const float* x, std::byte* out) {
  blocks::Q4_1 block;
  const Range range = range_of(x, 32);
  const float d = (range.high - range.low) / 15.0f, inverse = inverse_of(d);
  block.d = f32_to_f16(d), block.m = f32_to_f16(range.low);
  put_nibbles([&](std::size_t i) { return truncated((x[i] - range.low) * inverse + 0.5f, 0, 15); },
              block.low);
  store(block, out);
}

void encode_q5_1(const float* x, std::byte* out) {
  blocks::Q5_1 block;
  const Range range = range_of(x, 32);
  const float d = (range.high - range.low) / 31.0f, inverse = inverse_of(d);
  const auto code = [&](std::size_t i) { return truncated((x[i] - range.low) * inverse + 0.5f, 0, 31); };
  block.d = f32_to_f16(d), block.m = f32_to_f16(range.low);
  put_nibbles(code, block.low);
  put_fifth_bits(code, block.high);
  store(block, out);
}

// ---- Blocks of 256: scales by weighted least squares, over several ways to round the codes. The weight of
// an error grows with the value, since large weights tend to matter more.

struct Fit {
  float scale = 0, min = 0;
};

/// Sums over values run in eight lanes, which compilers turn into vectors.
struct Sum {
  float lane[8] = {};
  float total() const {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
  }
};

/// nearest() as a float and without branches.
inline float rounded(float value, float low, float high) {
  constexpr float rounder = 0x1.8p23f;
  value = value > low ? value : low;
  value = value < high ? value : high;
  return (value + rounder) - rounder;
}

/// scale and min >= 0 so that scale * code - min comes nearest to 32 values, codes 0..top. Tries 21 widths of
/// the range; for the codes that each gives, scale and min follow from linear least squares.
Fit fit_with_minimum(const float* x, int top) {
  constexpr std::size_t n = 32;
  float squares = 0, weight[n];
  for (std::size_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const float typical = std::sqrt(squares / static_cast<float>(n));
  float sum_w = 0, sum_x = 0;
  for (std::size_t i = 0; i < n; ++i) {
    weight[i] = typical + std::fabs(x[i]);
    sum_w += weight[i], sum_x += weight[i] * x[i];
  }
  const Range range = range_of(x, n);
  const float low = std::min(range.low, 0.0f), width = range.high - low;
  if (!(width > 0)) return {0, -low};  // 32 times the same value, none above 0

  Fit best{width / static_cast<float>(top), -low};
  float least = HUGE_VALF;
  for (int step = -10; step <= 10; ++step) {
    const float inverse = (static_cast<float>(top) + 0.1f * static_cast<float>(step)) / width;
    float code[n];
    Sum q, qq, qx;
    for (std::size_t i = 0; i < n; i += 8)
      for (std::size_t l = 0; l < 8; ++l) {
        const float c = rounded((x[i + l] - low) * inverse, 0, static_cast<float>(top));
        const float wq = weight[i + l] * c;
        code[i + l] = c;
        q.lane[l] += wq, qq.lane[l] += wq * c, qx.lane[l] += wq * x[i + l];
      }
    const float sum_q = q.total(), sum_qq = qq.total(), sum_qx = qx.total();
    const float determinant = sum_w * sum_qq - sum_q * sum_q;
    Fit fit{(sum_qx - low * sum_q) / sum_qq, -low};  // where the codes are all the same
    if (determinant > 0) {
      fit.scale = (sum_w * sum_qx - sum_x * sum_q) / determinant;
      fit.min = (sum_q * sum_qx - sum_qq * sum_x) / determinant;
    }
    if (fit.min < 0) fit = {sum_qx / sum_qq, 0};
    Sum errors;
    for (std::size_t i = 0; i < n; i += 8)
      for (std::size_t l = 0; l < 8; ++l) {
        const float difference = fit.scale * code[i + l] - fit.min - x[i + l];
        errors.lane[l] += weight[i + l] * difference * difference;
      }
    if (errors.total() < least) least = errors.total(), best = fit;
  }
  return best;
}

/// Scales and minima of Q4_K and Q5_K, and codes for them.
template <class Block>
void encode_with_minima(const float* x, int top, Block& block, int* codes) {
  Fit fits[8];
  float scale_max = 0, min_max = 0;
  for (std::size_t s = 0; s < 8; ++s) {
    fits[s] = fit_with_minimum(x + 32 * s, top);
    scale_max = std::max(scale_max, fits[s].scale), min_max = std::max(min_max, fits[s].min);
  }
  block.d = f32_to_f16(scale_max / 63.0f), block.dmin = f32_to_f16(min_max / 63.0f);
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  std::memset(block.scales, 0, sizeof block.scales);
  for (std::size_t s = 0; s < 8; ++s) {
    const int scale = nearest(fits[s].scale * inverse_of(d), 0, 63);
    const int min = nearest(fits[s].min * inverse_of(dmin), 0, 63);
    if (s < 4) {
      block.scales[s] |= static_cast<std::uint8_t>(scale);
      block.scales[4 + s] |= static_cast<std::uint8_t>(min);
    } else {
      block.scales[4 + s] = static_cast<std::uint8_t>((scale & 15) | (min & 15) << 4);
      block.scales[s - 4] |= static_cast<std::uint8_t>(scale >> 4 << 6);
      block.scales[s] |= static_cast<std::uint8_t>(min >> 4 << 6);
    }
    const float inverse = inverse_of(d * static_cast<float>(scale));
    for (std::size_t i = 32 * s; i < 32 * (s + 1); ++i)
      codes[i] = nearest((x[i] + dmin * static_cast<float>(min)) * inverse, 0, top);
  }
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t first = i / 32 * 64 + i % 32;
    block.low[i] = static_cast<std::uint8_t>((codes[first] & 15) | (codes[first + 32] & 15) << 4);
  }
}

void encode_q4_k(const float* x, std::byte* out) {
  blocks::Q4K block;
  int codes[256];
  encode_with_minima(x, 15, block, codes);
  store(block, out);
}

void encode_q5_k(const float* x, std::byte* out) {
  blocks::Q5K block;
  int codes[256];
  encode_with_minima(x, 31, block, codes);
  std::memset(block.high, 0, sizeof block.high);
  for (std::size_t i = 0; i < 256; ++i)
    block.high[i % 32] |= static_cast<std::uint8_t>(codes[i] >> 4 << i / 32);
  store(block, out);
}

/// The scale with which codes -32..31 come nearest to 16 values; it may be negative, since there is a -32 and
/// no 32. For given codes the best scale is sum(w x q) / sum(w q q), and it leaves an error of
/// sum(w x x) - sum(w x q)^2 / sum(w q q).
float fit_symmetric(const float* x) {
  const float largest = largest_of(x, 16);
  if (largest == 0) return 0;
  float best = 0, most = 0;
  for (int step = -9; step <= 9; ++step) {
    const float inverse = -(32.0f + 0.1f * static_cast<float>(step)) / largest;
    Sum qx, qq;
    for (std::size_t i = 0; i < 16; i += 8)
      for (std::size_t l = 0; l < 8; ++l) {
        const float value = x[i + l], q = rounded(value * inverse, -32, 31), wq = value * value * q;
        qx.lane[l] += wq * value, qq.lane[l] += wq * q;
      }
    const float sum_qx = qx.total(), sum_qq = qq.total();
    if (sum_qq > 0 && sum_qx * sum_qx > most * sum_qq)
      most = sum_qx * sum_qx / sum_qq, best = sum_qx / sum_qq;
  }
  // Where squares of squares leave the range of float: the plain scale.
  return best != 0 ? best : largest / -32.0f;
}

void encode_q6_k(const float* x, std::byte* out) {
  blocks::Q6K block;
  float scales[16];
  for (std::size_t s = 0; s < 16; ++s) scales[s] = fit_symmetric(x + 16 * s);
  block.d = f32_to_f16(largest_of(scales, 16) / -128.0f);
  const float d = f16_to_f32(block.d);
  int codes[256];
  for (std::size_t s = 0; s < 16; ++s) {
    const int scale = nearest(scales[s] * inverse_of(d), -128, 127);
    block.scales[s] = static_cast<std::int8_t>(scale);
    const float inverse = inverse_of(d * static_cast<float>(scale));
    for (std::size_t i = 16 * s; i < 16 * (s + 1); ++i) codes[i] = nearest(x[i] * inverse, -32, 31) + 32;
  }
  for (std::size_t i = 0; i < 128; ++i) {
    const std::size_t first = i / 64 * 128 + i % 64;
    block.low[i] = static_cast<std::uint8_t>((codes[first] & 15) | (codes[first + 64] & 15) << 4);
  }
  for (std::size_t i = 0; i < 64; ++i) {
    unsigned pairs = 0;
    for (std::size_t j = 0; j < 4; ++j)
      pairs |= static_cast<unsigned>(codes[i / 32 * 128 + 32 * j + i % 32] >> 4) << 2 * j;
    block.high[i] = static_cast<std::uint8_t>(pairs);
  }
  store(block, out);
}

constexpr BlockEncoder encoders[] = {
    {TensorType::q8_0, encode_q8_0}, {TensorType::q4_0, encode_q4_0}, {TensorType::q4_1, encode_q4_1},
    {TensorType::q5_0, encode_q5_0}, {TensorType::q5_1, encode_q5_1}, {TensorType::q4_k, encode_q4_k},
    {TensorType::q5_k, encode_q5_k}, {TensorType::q6_k, encode_q6_k},
};

}  // namespace

const BlockEncoder* find_encoder(TensorType type) noexcept {
  for (const BlockEncoder& encoder : encoders)
    if (encoder.type == type) return &encoder;
  return nullptr;
}

}  // namespace troupe
