#include "kernels/train_ops.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/train_ops.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/parts-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

HWY_INLINE Floats16 sub(const Floats16& a, const Floats16& b) {
  return map16([&](auto p) TROUPE_LAMBDA { return hn::Sub(a.part[p], b.part[p]); });
}

/// 1 / (1 + exp(-x)).
HWY_INLINE Floats16 sigmoid16(const Floats16& x) {
  return map16([&](auto p) TROUPE_LAMBDA {
    const FloatVector one = hn::Set(FloatTag(), 1.0f);
    return hn::Div(one, hn::Add(one, exp_vector(hn::Neg(x.part[p]))));
  });
}

// ---- Norms.

void rms_norm_train(const float* x, const float* weight, float eps, std::size_t rows, std::size_t cols,
                    float* out, float* factors) {
  for (std::size_t r = 0; r < rows; ++r, x += cols, out += cols) {
    Floats16 squares = set16(0);
    for (std::size_t i = 0; i < cols; i += 16) {
      const Floats16 v = part16(x, i, cols);
      squares = mul_add(v, v, squares);
    }
    factors[r] = 1.0f / std::sqrt(sum16(squares) / static_cast<float>(cols) + eps);
    const Floats16 factor = set16(factors[r]);
    for (std::size_t i = 0; i < cols; i += 16)
      put16(mul(mul(part16(x, i, cols), factor), part16(weight, i, cols)), out, i, cols);
  }
}

void rms_norm_back(const float* x, const float* weight, const float* factors, const float* d_out,
                   std::size_t rows, std::size_t cols, float* d_x) {
  for (std::size_t r = 0; r < rows; ++r, x += cols, d_out += cols, d_x += cols) {
    Floats16 dots = set16(0);
    for (std::size_t i = 0; i < cols; i += 16)
      dots = mul_add(mul(part16(d_out, i, cols), part16(weight, i, cols)), part16(x, i, cols), dots);
    const float f = factors[r];
    const Floats16 factor = set16(f);
    const Floats16 along = set16(-sum16(dots) * f * f * f / static_cast<float>(cols));
    for (std::size_t i = 0; i < cols; i += 16) {
      const Floats16 d = mul(part16(d_out, i, cols), part16(weight, i, cols));
      put16(add(part16(d_x, i, cols), mul_add(d, factor, mul(part16(x, i, cols), along))), d_x, i, cols);
    }
  }
}

HWY_INLINE float sum_row(const float* x, std::size_t n) {
  Floats16 sums = set16(0);
  for (std::size_t i = 0; i < n; i += 16) sums = add(sums, part16(x, i, n));
  return sum16(sums);
}

void layer_norm_train(const float* x, const float* weight, const float* bias, float eps, std::size_t rows,
                      std::size_t cols, float* out, float* means, float* factors) {
  for (std::size_t r = 0; r < rows; ++r, x += cols, out += cols) {
    means[r] = sum_row(x, cols) / static_cast<float>(cols);
    const Floats16 mean = set16(means[r]);
    Floats16 squares = set16(0);
    for (std::size_t i = 0; i < cols; i += 16) {
      const Floats16 v = i + 16 <= cols ? load16(x + i) : load_tail(x + i, cols - i, means[r]);
      const Floats16 c = sub(v, mean);
      squares = mul_add(c, c, squares);
    }
    factors[r] = 1.0f / std::sqrt(sum16(squares) / static_cast<float>(cols) + eps);
    const Floats16 factor = set16(factors[r]);
    for (std::size_t i = 0; i < cols; i += 16) {
      const Floats16 hat = mul(sub(part16(x, i, cols), mean), factor);
      put16(mul_add(hat, part16(weight, i, cols), part16(bias, i, cols)), out, i, cols);
    }
  }
}

void layer_norm_back(const float* x, const float* weight, const float* means, const float* factors,
                     const float* d_out, std::size_t rows, std::size_t cols, float* d_x) {
  for (std::size_t r = 0; r < rows; ++r, x += cols, d_out += cols, d_x += cols) {
    const Floats16 mean = set16(means[r]), factor = set16(factors[r]);
    Floats16 sums = set16(0), dots = set16(0);
    for (std::size_t i = 0; i < cols; i += 16) {
      const Floats16 d = mul(part16(d_out, i, cols), part16(weight, i, cols));
      sums = add(sums, d);
      dots = mul_add(d, mul(sub(part16(x, i, cols), mean), factor), dots);
    }
    const Floats16 level = set16(-sum16(sums) / static_cast<float>(cols));
    const Floats16 along = set16(-sum16(dots) / static_cast<float>(cols));
    for (std::size_t i = 0; i < cols; i += 16) {
      const Floats16 d = mul(part16(d_out, i, cols), part16(weight, i, cols));
      const Floats16 hat = mul(sub(part16(x, i, cols), mean), factor);
      const Floats16 inner = mul_add(hat, along, add(d, level));
      put16(mul_add(inner, factor, part16(d_x, i, cols)), d_x, i, cols);
    }
  }
}

void norm_weight_back(const float* x, const float* means, const float* factors, const float* d_out,
                      std::size_t rows, std::size_t cols, std::size_t first, std::size_t count,
                      float* d_weight) {
  for (std::size_t c = first; c < first + count; c += 16) {
    const std::size_t end = first + count;
    Floats16 sums = set16(0);
    for (std::size_t r = 0; r < rows; ++r) {
      const Floats16 d = part16(d_out + r * cols, c, end);
      Floats16 v = part16(x + r * cols, c, end);
      if (means != nullptr) v = sub(v, set16(means[r]));
      sums = mul_add(mul(d, set16(factors[r])), v, sums);
    }
    put16(add(part16(d_weight, c, end), sums), d_weight, c, end);
  }
}

void bias_back(const float* d_out, std::size_t rows, std::size_t cols, std::size_t first, std::size_t count,
               float* d_bias) {
  const std::size_t end = first + count;
  for (std::size_t c = first; c < end; c += 16) {
    Floats16 sums = set16(0);
    for (std::size_t r = 0; r < rows; ++r) sums = add(sums, part16(d_out + r * cols, c, end));
    put16(add(part16(d_bias, c, end), sums), d_bias, c, end);
  }
}

void add_bias(float* x, const float* bias, std::size_t rows, std::size_t cols) {
  for (std::size_t r = 0; r < rows; ++r, x += cols)
    for (std::size_t i = 0; i < cols; i += 16)
      put16(add(part16(x, i, cols), part16(bias, i, cols)), x, i, cols);
}

// ---- Activations.

void silu_mul_train(const float* gate_up, std::size_t rows, std::size_t width, float* out) {
  for (std::size_t r = 0; r < rows; ++r, gate_up += 2 * width, out += width)
    for (std::size_t i = 0; i < width; i += 16) {
      const Floats16 gate = part16(gate_up, i, width);
      put16(mul(mul(gate, sigmoid16(gate)), part16(gate_up + width, i, width)), out, i, width);
    }
}

void silu_mul_back(const float* gate_up, const float* d_out, std::size_t rows, std::size_t width,
                   float* d_gate_up) {
  const Floats16 one = set16(1);
  for (std::size_t r = 0; r < rows; ++r, gate_up += 2 * width, d_out += width, d_gate_up += 2 * width)
    for (std::size_t i = 0; i < width; i += 16) {
      const Floats16 gate = part16(gate_up, i, width), up = part16(gate_up + width, i, width);
      const Floats16 d = part16(d_out, i, width), s = sigmoid16(gate);
      const Floats16 slope = mul(s, mul_add(gate, sub(one, s), one));
      put16(mul(mul(d, up), slope), d_gate_up, i, width);
      put16(mul(d, mul(gate, s)), d_gate_up + width, i, width);
    }
}

// With z = 2 sqrt(2/π) (x + 0.044715 x³): gelu = x σ(z), since (1 + tanh(z/2)) / 2 = σ(z).
constexpr float gelu_factor = 1.5957691216057308f;
constexpr float gelu_cubic = 0.044715f;

HWY_INLINE Floats16 gelu_sigmoid16(const Floats16& x) {
  const Floats16 inner = mul_add(mul(x, x), set16(gelu_factor * gelu_cubic), set16(gelu_factor));
  return sigmoid16(mul(x, inner));
}

void gelu_train(const float* x, std::size_t n, float* out) {
  for (std::size_t i = 0; i < n; i += 16) {
    const Floats16 v = part16(x, i, n);
    put16(mul(v, gelu_sigmoid16(v)), out, i, n);
  }
}

void gelu_back(const float* x, const float* d_out, std::size_t n, float* d_x) {
  const Floats16 one = set16(1);
  for (std::size_t i = 0; i < n; i += 16) {
    const Floats16 v = part16(x, i, n), s = gelu_sigmoid16(v);
    const Floats16 dz = mul_add(mul(v, v), set16(3 * gelu_factor * gelu_cubic), set16(gelu_factor));
    const Floats16 slope = mul_add(mul(mul(v, s), sub(one, s)), dz, s);
    put16(mul(part16(d_out, i, n), slope), d_x, i, n);
  }
}

// ---- Loss.

constexpr float lowest = -std::numeric_limits<float>::infinity();

HWY_INLINE float largest_of(const float* x, std::size_t n) {
  Floats16 largest = set16(lowest);
  for (std::size_t i = 0; i < n; i += 16)
    largest = max(largest, i + 16 <= n ? load16(x + i) : load_tail(x + i, n - i, lowest));
  return max16(largest);
}

HWY_INLINE Floats16 exp_at(const float* x, std::size_t i, std::size_t n, const Floats16& minus) {
  return exp16(add(i + 16 <= n ? load16(x + i) : load_tail(x + i, n - i, lowest), minus));
}

float loss_row(const float* logits, std::size_t n, std::size_t target) {
  const float largest = largest_of(logits, n);
  Floats16 sums = set16(0);
  for (std::size_t i = 0; i < n; i += 16) sums = add(sums, exp_at(logits, i, n, set16(-largest)));
  return std::log(sum16(sums)) + largest - logits[target];
}

float loss_row_back(float* logits, std::size_t n, std::size_t target, float scale) {
  const float largest = largest_of(logits, n), wanted = logits[target];
  Floats16 sums = set16(0);
  for (std::size_t i = 0; i < n; i += 16) {
    const Floats16 e = exp_at(logits, i, n, set16(-largest));
    sums = add(sums, e);
    put16(e, logits, i, n);
  }
  const float sum = sum16(sums);
  const Floats16 factor = set16(scale / sum);
  for (std::size_t i = 0; i < n; i += 16) put16(mul(part16(logits, i, n), factor), logits, i, n);
  logits[target] -= scale;
  return std::log(sum) + largest - wanted;
}

// ---- Dropout. Written as loops over arrays that the compiler turns into vectors of each target: the numbers
// are integers, so every target has the same.

constexpr std::size_t dropout_counters = 16;

HWY_INLINE void philox_block(std::uint64_t seed, std::uint64_t stream, std::uint64_t first,
                             std::uint32_t* out) {
  std::uint32_t c0[dropout_counters], c1[dropout_counters], c2[dropout_counters], c3[dropout_counters];
  for (std::size_t i = 0; i < dropout_counters; ++i) {
    c0[i] = static_cast<std::uint32_t>(first + i);
    c1[i] = static_cast<std::uint32_t>((first + i) >> 32);
    c2[i] = static_cast<std::uint32_t>(stream);
    c3[i] = static_cast<std::uint32_t>(stream >> 32);
  }
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9U, k1 += 0xBB67AE85U) {
    for (std::size_t i = 0; i < dropout_counters; ++i) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * c0[i], p1 = std::uint64_t{0xCD9E8D57U} * c2[i];
      c0[i] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      c2[i] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<std::uint32_t>(p1);
      c3[i] = static_cast<std::uint32_t>(p0);
    }
  }
  for (std::size_t i = 0; i < dropout_counters; ++i)
    out[4 * i] = c0[i], out[4 * i + 1] = c1[i], out[4 * i + 2] = c2[i], out[4 * i + 3] = c3[i];
}

void dropout(float* y, const float* x, std::size_t n, float rate, std::uint64_t seed, std::uint64_t stream,
             std::uint64_t first) {
  const auto limit = static_cast<std::uint32_t>(static_cast<double>(rate) * 0x1p32);
  const float scale = 1.0f / (1.0f - rate);
  constexpr std::size_t block = 4 * dropout_counters;
  for (std::size_t i = 0; i < n; i += block) {
    std::uint32_t numbers[block];
    philox_block(seed, stream, (first + i) / 4, numbers);
    const std::size_t count = std::min(block, n - i);
    if (x == nullptr)
      for (std::size_t j = 0; j < count; ++j) y[i + j] = numbers[j] < limit ? 0.0f : y[i + j] * scale;
    else
      for (std::size_t j = 0; j < count; ++j)
        y[i + j] = x[i + j] + (numbers[j] < limit ? 0.0f : y[i + j] * scale);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(rms_norm_train);
HWY_EXPORT(rms_norm_back);
HWY_EXPORT(layer_norm_train);
HWY_EXPORT(layer_norm_back);
HWY_EXPORT(norm_weight_back);
HWY_EXPORT(bias_back);
HWY_EXPORT(add_bias);
HWY_EXPORT(silu_mul_train);
HWY_EXPORT(silu_mul_back);
HWY_EXPORT(gelu_train);
HWY_EXPORT(gelu_back);
HWY_EXPORT(loss_row);
HWY_EXPORT(loss_row_back);
HWY_EXPORT(dropout);

void train_rms_norm(const float* x, const float* weight, float eps, std::size_t rows, std::size_t cols,
                    float* out, float* factors) {
  HWY_DYNAMIC_DISPATCH(rms_norm_train)(x, weight, eps, rows, cols, out, factors);
}
void train_rms_norm_backward(const float* x, const float* weight, const float* factors, const float* d_out,
                             std::size_t rows, std::size_t cols, float* d_x) {
  HWY_DYNAMIC_DISPATCH(rms_norm_back)(x, weight, factors, d_out, rows, cols, d_x);
}
void train_layer_norm(const float* x, const float* weight, const float* bias, float eps, std::size_t rows,
                      std::size_t cols, float* out, float* means, float* factors) {
  HWY_DYNAMIC_DISPATCH(layer_norm_train)(x, weight, bias, eps, rows, cols, out, means, factors);
}
void train_layer_norm_backward(const float* x, const float* weight, const float* means, const float* factors,
                               const float* d_out, std::size_t rows, std::size_t cols, float* d_x) {
  HWY_DYNAMIC_DISPATCH(layer_norm_back)(x, weight, means, factors, d_out, rows, cols, d_x);
}
void train_norm_weight_backward(const float* x, const float* means, const float* factors, const float* d_out,
                                std::size_t rows, std::size_t cols, std::size_t first, std::size_t count,
                                float* d_weight) {
  HWY_DYNAMIC_DISPATCH(norm_weight_back)(x, means, factors, d_out, rows, cols, first, count, d_weight);
}
void train_bias_backward(const float* d_out, std::size_t rows, std::size_t cols, std::size_t first,
                         std::size_t count, float* d_bias) {
  HWY_DYNAMIC_DISPATCH(bias_back)(d_out, rows, cols, first, count, d_bias);
}
void train_add_bias(float* x, const float* bias, std::size_t rows, std::size_t cols) {
  HWY_DYNAMIC_DISPATCH(add_bias)(x, bias, rows, cols);
}
void train_silu_mul(const float* gate_up, std::size_t rows, std::size_t width, float* out) {
  HWY_DYNAMIC_DISPATCH(silu_mul_train)(gate_up, rows, width, out);
}
void train_silu_mul_backward(const float* gate_up, const float* d_out, std::size_t rows, std::size_t width,
                             float* d_gate_up) {
  HWY_DYNAMIC_DISPATCH(silu_mul_back)(gate_up, d_out, rows, width, d_gate_up);
}
void train_gelu(const float* x, std::size_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(gelu_train)(x, n, out);
}
void train_gelu_backward(const float* x, const float* d_out, std::size_t n, float* d_x) {
  HWY_DYNAMIC_DISPATCH(gelu_back)(x, d_out, n, d_x);
}
float train_cross_entropy(float* logits, std::size_t n, std::size_t target, float scale) {
  return HWY_DYNAMIC_DISPATCH(loss_row_back)(logits, n, target, scale);
}
float train_cross_entropy_loss(const float* logits, std::size_t n, std::size_t target) {
  return HWY_DYNAMIC_DISPATCH(loss_row)(logits, n, target);
}
void train_dropout(float* y, const float* x, std::size_t n, float rate, std::uint64_t seed,
                   std::uint64_t stream, std::uint64_t first) {
  HWY_DYNAMIC_DISPATCH(dropout)(y, x, n, rate, seed, stream, first);
}

}  // namespace troupe
#endif
