// Register tiles and packing of f32 products, for gemm.cpp and the attention of training.
//
// B is packed into panels of two vectors: [k block][panel][k in block][panel_cols], zeros behind the last
// column. A is read where it lies when its rows are along k (broadcasts of consecutive floats), and packed
// as [k][tile_rows] by the caller when that pays.
//
// No #pragma once: foreach_target includes this once per target.
#if defined(TROUPE_KERNELS_GEMM_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_GEMM_INL
#undef TROUPE_KERNELS_GEMM_INL
#else
#define TROUPE_KERNELS_GEMM_INL
#endif

#include <algorithm>

#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

constexpr std::size_t panel_cols = 2 * lanes;
// Accumulators are tile_rows x 2 registers, beside two of B and one of A: 12 fit into the 32 registers of
// AVX-512 and NEON, 6 into 16.
#if HWY_CAP_GE512 || HWY_ARCH_ARM_A64
constexpr std::size_t tile_rows = 12;
using TileRows = std::index_sequence<12, 8, 4, 2, 1>;
#elif HWY_TARGET == HWY_SCALAR
constexpr std::size_t tile_rows = 2;
using TileRows = std::index_sequence<2, 1>;
#else
constexpr std::size_t tile_rows = 6;
using TileRows = std::index_sequence<6, 4, 2, 1>;
#endif

/// Length of the blocks that k is cut into: a function of k alone. 256 rows of a panel are 32 KiB with
/// AVX-512 and leave room in the L1 cache for the rows of A.
constexpr std::size_t k_block(std::size_t k) {
  constexpr std::size_t longest = 256;
  const std::size_t blocks = std::max<std::size_t>(1, (k + longest - 1) / longest);
  return std::max<std::size_t>(1, ((k + blocks - 1) / blocks + 7) / 8 * 8);
}
constexpr std::size_t panels_of(std::size_t n) {
  return (n + panel_cols - 1) / panel_cols;
}
constexpr std::size_t packed_b_floats(std::size_t n, std::size_t k) {
  return panels_of(n) * panel_cols * k;
}

/// Packs the panel of columns [n0, n0 + cols) and rows [k0, k0 + ks) of B[k, n].
HWY_INLINE void pack_panel(const float* b, std::size_t stride, std::size_t k0, std::size_t ks, std::size_t n0,
                           std::size_t cols, float* out) {
  const FloatTag d;
  const float* from = b + k0 * stride + n0;
  if (cols == panel_cols) {
    for (std::size_t k = 0; k < ks; ++k, from += stride, out += panel_cols) {
      hn::StoreU(hn::LoadU(d, from), d, out);
      hn::StoreU(hn::LoadU(d, from + lanes), d, out + lanes);
    }
    return;
  }
  for (std::size_t k = 0; k < ks; ++k, from += stride, out += panel_cols)
    for (std::size_t j = 0; j < panel_cols; ++j) out[j] = j < cols ? from[j] : 0.0f;
}

/// The same from B[n, k], stored transposed.
HWY_INLINE void pack_panel_transposed(const float* b, std::size_t stride, std::size_t k0, std::size_t ks,
                                      std::size_t n0, std::size_t cols, float* out) {
  const float* from = b + n0 * stride + k0;
  constexpr std::size_t step = 16;  // a strip of the panel stays in the L1 cache while its rows are filled
  for (std::size_t k = 0; k < ks; k += step) {
    const std::size_t end = std::min(ks, k + step);
    for (std::size_t j = 0; j < cols; ++j) {
      const float* row = from + j * stride;
      for (std::size_t i = k; i < end; ++i) out[i * panel_cols + j] = row[i];
    }
    for (std::size_t j = cols; j < panel_cols; ++j)
      for (std::size_t i = k; i < end; ++i) out[i * panel_cols + j] = 0.0f;
  }
}

/// What a tile multiplies: `ks` rows of a packed panel with rows of A. Element (i, k) of A is
/// a[i * a_stride + k], or with `a_transposed` a[k * a_stride + i].
struct TileOperands {
  const float* a;
  std::size_t a_stride;
  const float* b;
  std::size_t ks;
  float* c;
  std::size_t c_stride;
  std::size_t cols;  // of the panel that exist
  bool accumulate;
};

template <std::size_t M, std::size_t V, bool a_transposed>
HWY_NOINLINE void gemm_tile(const TileOperands& t) {
  const FloatTag d;
  FloatVector sums[M][V];
  unroll<M * V>([&](auto i) TROUPE_LAMBDA { sums[i / V][i % V] = hn::Zero(d); });
  const float* a = t.a;
  const float* b = t.b;
  const std::size_t stride = t.a_stride;
  for (std::size_t k = t.ks; k != 0; --k) {
    FloatVector columns[V];
    unroll<V>([&](auto v) TROUPE_LAMBDA { columns[v] = hn::Load(d, b + v * lanes); });
    unroll<M>([&](auto i) TROUPE_LAMBDA {
      const FloatVector value = hn::Set(d, a_transposed ? a[i] : a[i * stride]);
      unroll<V>([&](auto v) TROUPE_LAMBDA { sums[i][v] = hn::MulAdd(value, columns[v], sums[i][v]); });
    });
    a += a_transposed ? stride : 1;
    b += panel_cols;
  }
  if (t.cols == V * lanes) {
    unroll<M * V>([&](auto i) TROUPE_LAMBDA {
      float* to = t.c + (i / V) * t.c_stride + (i % V) * lanes;
      FloatVector sum = sums[i / V][i % V];
      if (t.accumulate) sum = hn::Add(hn::LoadU(d, to), sum);
      hn::StoreU(sum, d, to);
    });
    return;
  }
  HWY_ALIGN float row[V * lanes];
  unroll<M>([&](auto i) TROUPE_LAMBDA {
    unroll<V>([&](auto v) TROUPE_LAMBDA { hn::Store(sums[i][v], d, row + v * lanes); });
    float* to = t.c + i * t.c_stride;
    for (std::size_t j = 0; j < t.cols; ++j) to[j] = t.accumulate ? to[j] + row[j] : row[j];
  });
}

template <bool a_transposed, std::size_t M, std::size_t... Fewer>
HWY_INLINE void gemm_rows(TileOperands t, std::size_t rows, std::index_sequence<M, Fewer...>) {
  for (; rows >= M; rows -= M) {
    if (t.cols <= lanes)
      gemm_tile<M, 1, a_transposed>(t);
    else
      gemm_tile<M, 2, a_transposed>(t);
    t.a += a_transposed ? M : M * t.a_stride;
    t.c += M * t.c_stride;
  }
  if constexpr (sizeof...(Fewer) != 0) {
    if (rows != 0) gemm_rows<a_transposed>(t, rows, std::index_sequence<Fewer...>());
  }
}

/// C[m, n] (+)= A · packed B on the calling thread. `b` is packed as one block of k. A as in TileOperands.
template <bool a_transposed>
HWY_INLINE void multiply_packed(std::size_t m, std::size_t n, std::size_t k, const float* a,
                                std::size_t a_stride, const float* b, float* c, std::size_t c_stride,
                                bool accumulate) {
  for (std::size_t n0 = 0; n0 < n; n0 += panel_cols) {
    const TileOperands t{a,         a_stride, b + n0 * k, k, c + n0, c_stride, std::min(panel_cols, n - n0),
                         accumulate};
    gemm_rows<a_transposed>(t, m, TileRows());
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
