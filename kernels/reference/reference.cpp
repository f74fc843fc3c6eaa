#include "kernels/reference/reference.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.hpp"
#include "base/weight_blocks.hpp"

namespace troupe::reference {
namespace {

/// IEEE binary16 from its definition.
double half_value(const std::byte* bytes) {
  const unsigned bits = static_cast<unsigned>(bytes[0]) | static_cast<unsigned>(bytes[1]) << 8;
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = static_cast<int>(bits >> 10 & 31);
  const int fraction = static_cast<int>(bits & 1023);
  if (exponent == 31) return fraction != 0 ? std::nan("") : sign * HUGE_VAL;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

/// Bits `shift` and up of byte `at`, as many as `mask` has.
int bits(const std::byte* block, std::size_t at, std::size_t shift, int mask) {
  return static_cast<int>(block[at]) >> shift & mask;
}

/// Weight i of a block of 32 that has nibbles from byte `at` on.
int nibble(const std::byte* block, std::size_t at, std::size_t i) {
  return bits(block, at + i % 16, i / 16 * 4, 15);
}

/// Weight i of a block of 256; the formulas of base/weight_blocks.hpp.
double k_weight(TensorType type, const std::byte* block, std::size_t i) {
  const std::size_t sub = i / 32, sixteen = i / 16;
  if (type == TensorType::q2_k) {
    const int q = bits(block, 16 + i / 128 * 32 + i % 32, 2 * (sub % 4), 3);
    return half_value(block + 80) * bits(block, sixteen, 0, 15) * q -
           half_value(block + 82) * bits(block, sixteen, 4, 15);
  }
  if (type == TensorType::q3_k) {
    const int q = bits(block, 32 + i / 128 * 32 + i % 32, 2 * (sub % 4), 3) + 4 * bits(block, i % 32, sub, 1);
    const int scale = bits(block, 96 + sixteen % 8, sixteen / 8 * 4, 15) +
                      16 * bits(block, 104 + sixteen % 4, sixteen / 4 * 2, 3);
    return half_value(block + 108) * (scale - 32) * (q - 4);
  }
  if (type == TensorType::q4_k || type == TensorType::q5_k) {
    int scale = 0, min = 0;
    if (sub < 4) {
      scale = bits(block, 4 + sub, 0, 63);
      min = bits(block, 8 + sub, 0, 63);
    } else {
      scale = bits(block, 8 + sub, 0, 15) + 16 * bits(block, sub, 6, 3);
      min = bits(block, 8 + sub, 4, 15) + 16 * bits(block, 4 + sub, 6, 3);
    }
    const bool five = type == TensorType::q5_k;
    int q = bits(block, (five ? 48u : 16u) + i / 64 * 32 + i % 32, sub % 2 * 4, 15);
    if (five) q += 16 * bits(block, 16 + i % 32, sub, 1);
    return half_value(block) * scale * q - half_value(block + 2) * min;
  }
  if (type == TensorType::q6_k) {
    const int q = bits(block, i / 128 * 64 + i % 64, i % 128 / 64 * 4, 15) +
                  16 * bits(block, 128 + i / 128 * 32 + i % 32, 2 * (sub % 4), 3);
    return half_value(block + 208) * static_cast<std::int8_t>(block[192 + sixteen]) * (q - 32);
  }
  TROUPE_CHECK(type == TensorType::iq4_xs);
  const int scale =
      bits(block, 4 + sub / 2, sub % 2 * 4, 15) + 16 * bits(block, 2 + sub / 4, 2 * (sub % 4), 3);
  return half_value(block) * (scale - 32) * blocks::iq4_values[nibble(block, 8 + 16 * sub, i % 32)];
}

}  // namespace

std::vector<double> decode(TensorType type, std::span<const std::byte> bytes, std::size_t cols) {
  std::vector<double> out(cols);
  for (std::size_t i = 0; i < cols; ++i) {
    switch (type) {
      case TensorType::f32: {
        float value = 0;
        std::memcpy(&value, &bytes[4 * i], sizeof value);
        out[i] = value;
        break;
      }
      case TensorType::f16: out[i] = half_value(&bytes[2 * i]); break;
      case TensorType::q8_0: {
        const std::byte* block = &bytes[i / 32 * 34];
        out[i] = half_value(block) * static_cast<std::int8_t>(block[2 + i % 32]);
        break;
      }
      case TensorType::q4_0: {
        const std::byte* block = &bytes[i / 32 * 18];
        const int pair = static_cast<int>(block[2 + i % 16]);
        out[i] = half_value(block) * ((i % 32 < 16 ? pair & 15 : pair >> 4) - 8);
        break;
      }
      case TensorType::bf16: {
        const std::uint32_t upper = static_cast<std::uint32_t>(bits(&bytes[2 * i], 0, 0, 255)) << 16 |
                                    static_cast<std::uint32_t>(bits(&bytes[2 * i], 1, 0, 255)) << 24;
        float value = 0;
        std::memcpy(&value, &upper, sizeof value);
        out[i] = value;
        break;
      }
      case TensorType::q4_1: {
        const std::byte* block = &bytes[i / 32 * 20];
        out[i] = half_value(block) * nibble(block, 4, i % 32) + half_value(block + 2);
        break;
      }
      case TensorType::q5_0: {
        const std::byte* block = &bytes[i / 32 * 22];
        out[i] =
            half_value(block) * (nibble(block, 6, i % 32) + 16 * bits(block, 2 + i % 32 / 8, i % 8, 1) - 16);
        break;
      }
      case TensorType::q5_1: {
        const std::byte* block = &bytes[i / 32 * 24];
        out[i] = half_value(block) * (nibble(block, 8, i % 32) + 16 * bits(block, 4 + i % 32 / 8, i % 8, 1)) +
                 half_value(block + 2);
        break;
      }
      case TensorType::iq4_nl: {
        const std::byte* block = &bytes[i / 32 * 18];
        out[i] = half_value(block) * blocks::iq4_values[nibble(block, 2, i % 32)];
        break;
      }
      default: {
        const TensorTypeInfo info = tensor_type_info(type);
        TROUPE_CHECK(info.block_elements == 256);
        out[i] = k_weight(type, &bytes[i / 256 * info.block_bytes], i % 256);
      }
    }
  }
  return out;
}

ActivationBlock quantize_activations(const float* x) {
  float top = 0;
  for (int i = 0; i < 32; ++i) top = std::max(top, std::fabs(x[i]));
  ActivationBlock out;
  if (top <= 1e-30f) return out;
  out.scale = top / 127.0f;
  const float inverse = 127.0f / top;
  // nearbyint in the default mode: ties to even.
  for (int i = 0; i < 32; ++i) out.values[i] = static_cast<std::int8_t>(std::nearbyint(x[i] * inverse));
  return out;
}

std::vector<double> matmul(std::span<const double> x, std::span<const double> w, std::size_t x_rows,
                           std::size_t w_rows, std::size_t cols) {
  std::vector<double> y(x_rows * w_rows);
  for (std::size_t r = 0; r < x_rows; ++r)
    for (std::size_t i = 0; i < w_rows; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < cols; ++k) sum += x[r * cols + k] * w[i * cols + k];
      y[r * w_rows + i] = sum;
    }
  return y;
}

std::vector<double> rms_norm(std::span<const float> x, std::span<const float> weight, double eps) {
  double squares = 0;
  for (const float value : x) squares += static_cast<double>(value) * value;
  const double factor = 1 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  std::vector<double> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) out[i] = x[i] * factor * weight[i];
  return out;
}

std::vector<double> layer_norm(std::span<const float> x, std::span<const float> weight,
                               std::span<const float> bias, double eps) {
  const auto count = static_cast<double>(x.size());
  double mean = 0, variance = 0;
  for (const float value : x) mean += value / count;
  for (const float value : x) variance += (value - mean) * (value - mean) / count;
  std::vector<double> out(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    out[i] = (x[i] - mean) / std::sqrt(variance + eps) * weight[i] + bias[i];
  return out;
}

std::vector<double> silu_mul(std::span<const float> gate, std::span<const float> up) {
  std::vector<double> out(gate.size());
  for (std::size_t i = 0; i < gate.size(); ++i)
    out[i] = gate[i] / (1 + std::exp(-static_cast<double>(gate[i]))) * up[i];
  return out;
}

std::vector<double> gelu(std::span<const float> x) {
  const double root = std::sqrt(2 / std::acos(-1.0));
  std::vector<double> out;
  for (const double v : x) out.push_back(v / 2 * (1 + std::tanh(root * (v + 0.044715 * v * v * v))));
  return out;
}

std::vector<double> softmax(std::span<const float> x) {
  const double largest = *std::max_element(x.begin(), x.end());
  std::vector<double> out(x.size());
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += out[i] = std::exp(x[i] - largest);
  for (double& value : out) value /= sum;
  return out;
}

std::vector<double> rope(RopeStyle style, std::span<const float> head, std::span<const float> cosines,
                         std::span<const float> sines) {
  std::vector<double> out(head.begin(), head.end());
  const std::size_t half = cosines.size();
  for (std::size_t i = 0; i < half; ++i) {
    const std::size_t a = style == RopeStyle::adjacent ? 2 * i : i;
    const std::size_t b = style == RopeStyle::adjacent ? 2 * i + 1 : i + half;
    const double x = head[a], y = head[b], c = cosines[i], s = sines[i];
    out[a] = x * c - y * s;
    out[b] = x * s + y * c;
  }
  return out;
}

std::vector<double> relu_squared(std::span<const float> x) {
  std::vector<double> out;
  for (const double v : x) out.push_back(v > 0 ? v * v : 0);
  return out;
}

std::vector<double> soft_cap(std::span<const float> x, double cap) {
  std::vector<double> out;
  for (const double v : x) out.push_back(cap * std::tanh(v / cap));
  return out;
}

std::vector<double> attention(std::span<const float> q, std::span<const double> k, std::span<const double> v,
                              double scale, double softcap) {
  const std::size_t dim = q.size(), positions = k.size() / dim;
  std::vector<double> scores(positions);
  for (std::size_t p = 0; p < positions; ++p) {
    double dot = 0;
    for (std::size_t i = 0; i < dim; ++i) dot += q[i] * k[p * dim + i];
    scores[p] = softcap != 0 ? softcap * std::tanh(dot * scale / softcap) : dot * scale;
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - largest);
  std::vector<double> out(dim);
  for (std::size_t p = 0; p < positions; ++p)
    for (std::size_t i = 0; i < dim; ++i) out[i] += scores[p] / sum * v[p * dim + i];
  return out;
}

}  // namespace troupe::reference
