#include "kernels/ops.hpp"

#include <cmath>
#include <limits>

#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/simd-inl.hpp"
#include "kernels/soft_cap-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

void rms_norm_rows(const float* x, const float* weight, float eps, std::size_t rows, std::size_t cols,
                   float* out) {
  for (std::size_t r = 0; r < rows; ++r, x += cols, out += cols) {
    Floats16 squares = set16(0);
    std::size_t i = 0;
    for (; i + 16 <= cols; i += 16) {
      const Floats16 v = load16(x + i);
      squares = mul_add(v, v, squares);
    }
    if (i < cols) {
      const Floats16 v = load_tail(x + i, cols - i, 0);
      squares = mul_add(v, v, squares);
    }
    const float factor = 1.0f / std::sqrt(sum16(squares) / static_cast<float>(cols) + eps);
    const Floats16 factors = set16(factor);
    for (i = 0; i + 16 <= cols; i += 16)
      store16(mul(mul(load16(x + i), factors), load16(weight + i)), out + i);
    for (; i < cols; ++i) out[i] = x[i] * factor * weight[i];
  }
}

void layer_norm_rows(const float* x, const float* weight, const float* bias, float eps, std::size_t rows,
                     std::size_t cols, float* out) {
  const std::size_t whole = cols / 16 * 16, rest = cols - whole;
  for (std::size_t r = 0; r < rows; ++r, x += cols, out += cols) {
    Floats16 sums = set16(0);
    for (std::size_t i = 0; i < whole; i += 16) sums = add(sums, load16(x + i));
    if (rest != 0) sums = add(sums, load_tail(x + whole, rest, 0));
    const float mean = sum16(sums) / static_cast<float>(cols);

    const Floats16 minus_mean = set16(-mean);
    Floats16 squares = set16(0);
    for (std::size_t i = 0; i < whole; i += 16) {
      const Floats16 v = add(load16(x + i), minus_mean);
      squares = mul_add(v, v, squares);
    }
    if (rest != 0) {
      const Floats16 v = add(load_tail(x + whole, rest, mean), minus_mean);
      squares = mul_add(v, v, squares);
    }
    const float factor = 1.0f / std::sqrt(sum16(squares) / static_cast<float>(cols) + eps);
    // Products are rounded before they are added, so the tail may be plain code.
    const Floats16 factors = set16(factor);
    for (std::size_t i = 0; i < whole; i += 16) {
      const Floats16 v = mul(add(load16(x + i), minus_mean), factors);
      store16(add(mul(v, load16(weight + i)), load16(bias + i)), out + i);
    }
    for (std::size_t i = whole; i < cols; ++i) out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
  }
}

void add_rows(float* x, const float* y, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(add(load16(x + i), load16(y + i)), x + i);
  for (; i < n; ++i) x[i] += y[i];
}

void mul_rows(float* x, const float* y, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(mul(load16(x + i), load16(y + i)), x + i);
  for (; i < n; ++i) x[i] *= y[i];
}

void scale_rows(float* x, float factor, std::size_t n) {
  const Floats16 factors = set16(factor);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(mul(load16(x + i), factors), x + i);
  for (; i < n; ++i) x[i] *= factor;
}

void relu_squared_rows(float* x, std::size_t n) {
  const auto one = [&](const Floats16& v) TROUPE_LAMBDA {
    return map16([&](auto p) TROUPE_LAMBDA {
      // Compared: a maximum with zero may make that of NaN.
      const auto negative = hn::Lt(v.part[p], hn::Zero(FloatTag()));
      const FloatVector positive = hn::IfThenZeroElse(negative, v.part[p]);
      return hn::Mul(positive, positive);
    });
  };
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(one(load16(x + i)), x + i);
  if (i < n) store_tail(one(load_tail(x + i, n - i, 0)), x + i, n - i);
}

void soft_cap_rows(float* x, float cap, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(soft_cap16(load16(x + i), cap), x + i);
  if (i < n) store_tail(soft_cap16(load_tail(x + i, n - i, 0), cap), x + i, n - i);
}

HWY_INLINE Floats16 silu_mul16(const Floats16& gate, const Floats16& up) {
  return map16([&](auto p) TROUPE_LAMBDA {
    const FloatVector one = hn::Set(FloatTag(), 1.0f);
    const FloatVector silu = hn::Div(gate.part[p], hn::Add(one, exp_vector(hn::Neg(gate.part[p]))));
    return hn::Mul(silu, up.part[p]);
  });
}

void silu_mul_rows(float* gate, const float* up, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(silu_mul16(load16(gate + i), load16(up + i)), gate + i);
  if (i < n)
    store_tail(silu_mul16(load_tail(gate + i, n - i, 0), load_tail(up + i, n - i, 0)), gate + i, n - i);
}

HWY_INLINE Floats16 gelu16(const Floats16& x) {
  return map16([&](auto p) TROUPE_LAMBDA {
    const FloatTag d;
    const FloatVector v = x.part[p];
    // -2 sqrt(2 / pi) x (1 + 0.044715 x²)
    const FloatVector inner = hn::MulAdd(hn::Mul(v, v), hn::Set(d, 0.044715f), hn::Set(d, 1.0f));
    const FloatVector exponent = hn::Mul(hn::Mul(v, hn::Set(d, -1.5957691216f)), inner);
    return hn::Div(v, hn::Add(hn::Set(d, 1.0f), exp_vector(exponent)));
  });
}

void gelu_rows(float* x, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(gelu16(load16(x + i)), x + i);
  if (i < n) store_tail(gelu16(load_tail(x + i, n - i, 0)), x + i, n - i);
}

/// Rounded to f16.
HWY_INLINE Floats16 round_f16(const Floats16& x) {
  std::uint16_t buffer[16];
  unroll<parts>([&](auto p) TROUPE_LAMBDA { store_f16(x.part[p], FloatTag(), buffer + p * lanes); });
  return map16([&](auto p) TROUPE_LAMBDA { return load_f16(FloatTag(), buffer + p * lanes); });
}

HWY_INLINE Floats16 gelu_f16_16(const Floats16& x) {
  const Floats16 inner = round_f16(gelu16(round_f16(x)));
  return map16([&](auto p) TROUPE_LAMBDA {
    const FloatTag d;
    const FloatVector v = x.part[p];
    const FloatVector low = hn::IfThenElse(hn::Le(v, hn::Set(d, -10.0f)), hn::Zero(d), inner.part[p]);
    return hn::IfThenElse(hn::Ge(v, hn::Set(d, 10.0f)), v, low);
  });
}

void gelu_f16_rows(float* x, std::size_t n) {
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(gelu_f16_16(load16(x + i)), x + i);
  if (i < n) store_tail(gelu_f16_16(load_tail(x + i, n - i, 0)), x + i, n - i);
}

// Products are rounded before they are added (no fused multiply-add), so tails may be plain code.
void rope_halves(float* x, std::size_t half, const float* cosines, const float* sines) {
  std::size_t i = 0;
  const FloatTag d;
  for (; i + lanes <= half; i += lanes) {
    const FloatVector a = hn::LoadU(d, x + i), b = hn::LoadU(d, x + half + i);
    const FloatVector c = hn::LoadU(d, cosines + i), s = hn::LoadU(d, sines + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, x + i);
    hn::StoreU(hn::Add(hn::Mul(a, s), hn::Mul(b, c)), d, x + half + i);
  }
  for (; i < half; ++i) {
    const float a = x[i], b = x[half + i];
    x[i] = a * cosines[i] - b * sines[i];
    x[half + i] = a * sines[i] + b * cosines[i];
  }
}

void rope_adjacent(float* x, std::size_t half, const float* cosines, const float* sines) {
  std::size_t i = 0;
  const FloatTag d;
  for (; i + lanes <= half; i += lanes) {
    FloatVector a, b;
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    const FloatVector c = hn::LoadU(d, cosines + i), s = hn::LoadU(d, sines + i);
    hn::StoreInterleaved2(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), hn::Add(hn::Mul(a, s), hn::Mul(b, c)), d,
                          x + 2 * i);
  }
  for (; i < half; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cosines[i] - b * sines[i];
    x[2 * i + 1] = a * sines[i] + b * cosines[i];
  }
}

void rope_heads(RopeStyle style, float* x, std::size_t heads, std::size_t head_dim, std::size_t rope_dim,
                const float* cosines, const float* sines) {
  for (std::size_t h = 0; h < heads; ++h, x += head_dim) {
    if (style == RopeStyle::halves)
      rope_halves(x, rope_dim / 2, cosines, sines);
    else
      rope_adjacent(x, rope_dim / 2, cosines, sines);
  }
}

void softmax_row(float* x, std::size_t n) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  const std::size_t whole = n / 16 * 16, rest = n - whole;
  Floats16 largest = set16(lowest);
  for (std::size_t i = 0; i < whole; i += 16) largest = max(largest, load16(x + i));
  if (rest != 0) largest = max(largest, load_tail(x + whole, rest, lowest));
  const Floats16 minus = set16(-max16(largest));

  Floats16 sums = set16(0);
  for (std::size_t i = 0; i < whole; i += 16) {
    const Floats16 e = exp16(add(load16(x + i), minus));
    sums = add(sums, e);
    store16(e, x + i);
  }
  if (rest != 0) {
    const Floats16 e = exp16(add(load_tail(x + whole, rest, lowest), minus));
    sums = add(sums, e);
    store_tail(e, x + whole, rest);
  }
  const float factor = 1.0f / sum16(sums);
  const Floats16 factors = set16(factor);
  for (std::size_t i = 0; i < whole; i += 16) store16(mul(load16(x + i), factors), x + i);
  for (std::size_t i = whole; i < n; ++i) x[i] *= factor;
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(rms_norm_rows);
HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(add_rows);
HWY_EXPORT(mul_rows);
HWY_EXPORT(scale_rows);
HWY_EXPORT(relu_squared_rows);
HWY_EXPORT(soft_cap_rows);
HWY_EXPORT(silu_mul_rows);
HWY_EXPORT(gelu_rows);
HWY_EXPORT(gelu_f16_rows);
HWY_EXPORT(rope_heads);
HWY_EXPORT(softmax_row);

void rms_norm(const float* x, const float* weight, float eps, std::size_t rows, std::size_t cols,
              float* out) {
  HWY_DYNAMIC_DISPATCH(rms_norm_rows)(x, weight, eps, rows, cols, out);
}
void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::size_t rows,
                std::size_t cols, float* out) {
  HWY_DYNAMIC_DISPATCH(layer_norm_rows)(x, weight, bias, eps, rows, cols, out);
}
void add_in_place(float* x, const float* y, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(add_rows)(x, y, n);
}
void mul_in_place(float* x, const float* y, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(mul_rows)(x, y, n);
}
void scale_in_place(float* x, float factor, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(scale_rows)(x, factor, n);
}
void relu_squared(float* x, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(relu_squared_rows)(x, n);
}
void soft_cap(float* x, float cap, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(soft_cap_rows)(x, cap, n);
}
void silu_mul(float* gate, const float* up, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(silu_mul_rows)(gate, up, n);
}
void gelu(float* x, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(gelu_rows)(x, n);
}
void gelu_f16(float* x, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(gelu_f16_rows)(x, n);
}
void rope(RopeStyle style, float* x, std::size_t heads, std::size_t head_dim, std::size_t rope_dim,
          const float* cosines, const float* sines) {
  HWY_DYNAMIC_DISPATCH(rope_heads)(style, x, heads, head_dim, rope_dim, cosines, sines);
}
void softmax(float* x, std::size_t n) {
  HWY_DYNAMIC_DISPATCH(softmax_row)(x, n);
}

}  // namespace troupe
#endif
