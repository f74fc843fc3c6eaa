#include "kernels/train_attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/train_attention.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/gemm-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

// Query rows at a time. Their scores against all keys before them stay in the L2 cache, and no more than
// this many columns beyond the diagonal are computed in vain.
constexpr std::size_t query_rows = 64;

constexpr std::size_t rounded(std::size_t n) {
  return (n + 15) / 16 * 16;
}

/// A strided matrix [rows, cols] packed as one block of k: as it lies (k along rows), or transposed.
HWY_INLINE void pack(const float* from, std::size_t stride, std::size_t k, std::size_t n, bool transposed,
                     float* to) {
  for (std::size_t n0 = 0; n0 < n; n0 += panel_cols, to += panel_cols * k) {
    const std::size_t cols = std::min(panel_cols, n - n0);
    if (transposed)
      pack_panel_transposed(from, stride, 0, k, n0, cols, to);
    else
      pack_panel(from, stride, 0, k, n0, cols, to);
  }
}

/// x[i] = exp(x[i] * scale - shift), n elements; returns their sum.
HWY_INLINE float exp_row(float* x, std::size_t n, float scale, float shift) {
  const Floats16 scales = set16(scale), shifts = set16(-shift);
  const std::size_t whole = n / 16 * 16;
  Floats16 sums = set16(0);
  for (std::size_t i = 0; i < whole; i += 16) {
    const Floats16 e = exp16(mul_add(load16(x + i), scales, shifts));
    sums = add(sums, e);
    store16(e, x + i);
  }
  if (whole != n) {
    // The filler's exponential must be zero, so the tail is scaled before it is filled up.
    float tail[16];
    for (std::size_t i = 0; i < 16; ++i)
      tail[i] = whole + i < n ? x[whole + i] : -std::numeric_limits<float>::max();
    const Floats16 v = load16(tail);
    const Floats16 e = exp16(mul_add(v, scales, shifts));
    sums = add(sums, e);
    store_tail(e, x + whole, n - whole);
  }
  return sum16(sums);
}

HWY_INLINE float max_row(const float* x, std::size_t n) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  const std::size_t whole = n / 16 * 16;
  Floats16 largest = set16(lowest);
  for (std::size_t i = 0; i < whole; i += 16) largest = max(largest, load16(x + i));
  if (whole != n) largest = max(largest, load_tail(x + whole, n - whole, lowest));
  return max16(largest);
}

HWY_INLINE void scale_row(float* x, std::size_t n, float factor) {
  const Floats16 factors = set16(factor);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(mul(load16(x + i), factors), x + i);
  for (; i < n; ++i) x[i] *= factor;
}

HWY_INLINE float dot_row(const float* x, const float* y, std::size_t n) {
  Floats16 sums = set16(0);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) sums = mul_add(load16(x + i), load16(y + i), sums);
  if (i < n) sums = mul_add(load_tail(x + i, n - i, 0), load_tail(y + i, n - i, 0), sums);
  return sum16(sums);
}

/// d[i] = p[i] * (d[i] - mean) * scale.
HWY_INLINE void softmax_backward_row(const float* p, float* d, std::size_t n, float mean, float scale) {
  const Floats16 means = set16(-mean), scales = set16(scale);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) store16(mul(mul(load16(p + i), add(load16(d + i), means)), scales), d + i);
  for (; i < n; ++i) d[i] = p[i] * (d[i] - mean) * scale;
}

/// What lies where in a worker's scratch.
struct ScratchPlan {
  std::size_t scores_stride, keys, values, scores, d_scores, rows, total;

  explicit ScratchPlan(const TrainAttentionShape& s, bool backward) {
    scores_stride = rounded(s.time) + 16;  // no power of two: rows would share cache sets
    keys = 0;
    values = keys + rounded(packed_b_floats(s.time, s.head_dim));
    scores = values + std::max(rounded(packed_b_floats(s.time, s.head_dim)),
                               rounded(packed_b_floats(s.head_dim, s.time)));
    d_scores = scores + query_rows * scores_stride;
    total = d_scores;
    rows = total;
    if (!backward) return;
    keys = d_scores + query_rows * scores_stride;  // of k as it lies; keys transposed stay at 0
    rows = keys + rounded(packed_b_floats(s.head_dim, s.time));
    total = rows + rounded(packed_b_floats(s.head_dim, query_rows));
  }
};

/// k is cut into one block per query_rows keys, so a product that ends at a query block's diagonal reads
/// whole blocks. c (+)= a [m, k] · packed [k, n], packed by pack_in_blocks().
HWY_INLINE void pack_in_blocks(const float* from, std::size_t stride, std::size_t k, std::size_t n,
                               float* to) {
  for (std::size_t k0 = 0; k0 < k; k0 += query_rows) {
    const std::size_t ks = std::min(query_rows, k - k0);
    pack(from + k0 * stride, stride, ks, n, false, to + k0 * panels_of(n) * panel_cols);
  }
}
HWY_INLINE void multiply_in_blocks(std::size_t m, std::size_t n, std::size_t k, const float* a,
                                   std::size_t a_stride, const float* packed, float* c,
                                   std::size_t c_stride) {
  for (std::size_t k0 = 0; k0 < k; k0 += query_rows) {
    const std::size_t ks = std::min(query_rows, k - k0);
    multiply_packed<false>(m, n, ks, a + k0, a_stride, packed + k0 * panels_of(n) * panel_cols, c, c_stride,
                           k0 != 0);
  }
}

void attention_forward(const TrainAttentionShape& s, const float* qkv, float* out, float* log_sums,
                       TrainAttentionScratch& scratch, ThreadPool& pool) {
  const ScratchPlan plan(s, false);
  float* all = scratch.prepare(plan.total, pool.threads());
  const std::size_t stride = s.qkv_width(), dim = s.head_dim, group = s.heads / s.kv_heads;
  pool.parallel_for(s.batch * s.kv_heads, [&](std::size_t task, unsigned worker) {
    float* own = all + worker * plan.total;
    float *keys = own + plan.keys, *values = own + plan.values, *scores = own + plan.scores;
    const std::size_t window = task / s.kv_heads, kv_head = task % s.kv_heads;
    const float* base = qkv + window * s.time * stride;
    pack(base + (s.heads + kv_head) * dim, stride, dim, s.time, true, keys);
    pack_in_blocks(base + (s.heads + s.kv_heads + kv_head) * dim, stride, s.time, dim, values);
    for (std::size_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::size_t first = 0; first < s.time; first += query_rows) {
        const std::size_t rows = std::min(query_rows, s.time - first), end = first + rows;
        multiply_packed<false>(rows, end, dim, base + first * stride + head * dim, stride, keys, scores,
                               plan.scores_stride, false);
        for (std::size_t r = 0; r < rows; ++r) {
          float* row = scores + r * plan.scores_stride;
          const std::size_t visible = first + r + 1;
          const float largest = max_row(row, visible) * s.scale;
          const float sum = exp_row(row, visible, s.scale, largest);
          scale_row(row, visible, 1.0f / sum);
          std::fill(row + visible, row + end, 0.0f);
          log_sums[(window * s.heads + head) * s.time + first + r] = largest + std::log(sum);
        }
        multiply_in_blocks(rows, dim, end, scores, plan.scores_stride, values,
                           out + (window * s.time + first) * s.q_width() + head * dim, s.q_width());
      }
    }
  });
}

void attention_backward(const TrainAttentionShape& s, const float* qkv, const float* out,
                        const float* log_sums, const float* d_out, float* d_qkv,
                        TrainAttentionScratch& scratch, ThreadPool& pool) {
  const ScratchPlan plan(s, true);
  float* all = scratch.prepare(plan.total, pool.threads());
  const std::size_t stride = s.qkv_width(), dim = s.head_dim, group = s.heads / s.kv_heads;
  const std::size_t out_stride = s.q_width();
  pool.parallel_for(s.batch * s.kv_heads, [&](std::size_t task, unsigned worker) {
    float* own = all + worker * plan.total;
    float *keys_t = own, *values_t = own + plan.values, *keys = own + plan.keys;
    float *p = own + plan.scores, *d = own + plan.d_scores, *packed_rows = own + plan.rows;
    const std::size_t window = task / s.kv_heads, kv_head = task % s.kv_heads;
    const std::size_t row0 = window * s.time;
    const std::size_t k_at = (s.heads + kv_head) * dim, v_at = (s.heads + s.kv_heads + kv_head) * dim;
    const float* base = qkv + row0 * stride;
    float* d_base = d_qkv + row0 * stride;
    pack(base + k_at, stride, dim, s.time, true, keys_t);
    pack(base + v_at, stride, dim, s.time, true, values_t);
    pack_in_blocks(base + k_at, stride, s.time, dim, keys);
    for (std::size_t t = 0; t < s.time; ++t) {
      std::fill_n(d_base + t * stride + k_at, dim, 0.0f);
      std::fill_n(d_base + t * stride + v_at, dim, 0.0f);
    }
    for (std::size_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      for (std::size_t first = 0; first < s.time; first += query_rows) {
        const std::size_t rows = std::min(query_rows, s.time - first), end = first + rows;
        const float* q_rows = base + first * stride + head * dim;
        const float* o_rows = out + (row0 + first) * out_stride + head * dim;
        const float* d_rows = d_out + (row0 + first) * out_stride + head * dim;
        multiply_packed<false>(rows, end, dim, q_rows, stride, keys_t, p, plan.scores_stride, false);
        multiply_packed<false>(rows, end, dim, d_rows, out_stride, values_t, d, plan.scores_stride, false);
        for (std::size_t r = 0; r < rows; ++r) {
          float *p_row = p + r * plan.scores_stride, *d_row = d + r * plan.scores_stride;
          const std::size_t visible = first + r + 1;
          exp_row(p_row, visible, s.scale, log_sums[(window * s.heads + head) * s.time + first + r]);
          const float mean = dot_row(o_rows + r * out_stride, d_rows + r * out_stride, dim);
          softmax_backward_row(p_row, d_row, visible, mean, s.scale);
          std::fill(p_row + visible, p_row + end, 0.0f);
          std::fill(d_row + visible, d_row + end, 0.0f);
        }
        pack(d_rows, out_stride, rows, dim, false, packed_rows);
        multiply_packed<true>(end, dim, rows, p, plan.scores_stride, packed_rows, d_base + v_at, stride,
                              true);
        pack(q_rows, stride, rows, dim, false, packed_rows);
        multiply_packed<true>(end, dim, rows, d, plan.scores_stride, packed_rows, d_base + k_at, stride,
                              true);
        multiply_in_blocks(rows, dim, end, d, plan.scores_stride, keys, d_base + first * stride + head * dim,
                           stride);
      }
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(attention_forward);
HWY_EXPORT(attention_backward);

void train_attention(const TrainAttentionShape& shape, const float* qkv, float* out, float* log_sums,
                     TrainAttentionScratch& scratch, ThreadPool& pool) {
  HWY_DYNAMIC_DISPATCH(attention_forward)(shape, qkv, out, log_sums, scratch, pool);
}
void train_attention_backward(const TrainAttentionShape& shape, const float* qkv, const float* out,
                              const float* log_sums, const float* d_out, float* d_qkv,
                              TrainAttentionScratch& scratch, ThreadPool& pool) {
  HWY_DYNAMIC_DISPATCH(attention_backward)(shape, qkv, out, log_sums, d_out, d_qkv, scratch, pool);
}

}  // namespace troupe
#endif
