// The tile loop for weights that are multiplied as floats. Packed: [k][16 rows]. One chain of fused
// multiply-adds per output, k ascending.
#if defined(TROUPE_KERNELS_MATMUL_FLOAT_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_MATMUL_FLOAT_INL
#undef TROUPE_KERNELS_MATMUL_FLOAT_INL
#else
#define TROUPE_KERNELS_MATMUL_FLOAT_INL
#endif

#include "kernels/tile-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// Weight, a type of its own name in the program (its tiles are functions of the program): the type Stored
/// and `static FloatVector load(const Stored*)`, which loads `lanes` weights.
template <class Weight>
struct FloatKernel {
  // Two for several rows where there is room, so that a load of activations serves both. More would be too
  // many streams for the memory; one row is done sooner from one stream, though its chain of additions waits
  // for itself.
  static constexpr std::size_t groups_max = 2;
  // Sums, one group's weights and a broadcast value fit the registers: 32 of AVX3, 16 of AVX2.
#if HWY_CAP_GE512
  static constexpr std::size_t sums_max = 24;
  using Tiles = std::index_sequence<12, 8, 4, 2, 1>;
#elif HWY_CAP_GE256
  static constexpr std::size_t sums_max = 12;
  using Tiles = std::index_sequence<6, 4, 2, 1>;
#elif HWY_TARGET == HWY_SCALAR
  static constexpr std::size_t sums_max = 16;
  using Tiles = std::index_sequence<1>;
#else
  static constexpr std::size_t sums_max = 8;
  using Tiles = std::index_sequence<2, 1>;
#endif

  template <std::size_t G, std::size_t T>
  static HWY_NOINLINE void tile(const MatmulOperands& m, std::size_t group, std::size_t row) {
    using Stored = typename Weight::Stored;
    const FloatTag d;
    const std::size_t cols = m.cols, rows = m.x->rows(), stride = m.group_bytes / sizeof(Stored);
    const auto* w = reinterpret_cast<const Stored*>(m.weights + group * m.group_bytes);
    const float* x = m.x->columns() + row;
    FloatVector sums[G][parts][T];
    clear_sums(sums);
    // Memory is asked for ahead: the rest of these groups, then the beginning of those that follow.
    constexpr std::size_t ahead_cols = ahead_bytes / (group_rows * sizeof(Stored));
    const Stored* ahead = w + ahead_cols * group_rows;
    const std::size_t turn = cols > ahead_cols ? cols - ahead_cols : 0;
    for (std::size_t k = 0; k < cols; ++k, w += group_rows, x += rows, ahead += group_rows) {
      if (k == turn) ahead += (G - 1) * stride;
      FloatVector weights[G][parts];
      unroll<G * parts>([&](auto i) TROUPE_LAMBDA {
        constexpr std::size_t g = i / parts, p = i % parts;
        weights[g][p] = Weight::load(w + g * stride + p * lanes);
        if constexpr (p == 0) __builtin_prefetch(ahead + g * stride);
      });
      unroll<T>([&](auto t) TROUPE_LAMBDA {
        const FloatVector value = hn::Set(d, x[t]);
        unroll<G * parts>([&](auto i) TROUPE_LAMBDA {
          constexpr std::size_t g = i / parts, p = i % parts;
          sums[g][p][t] = hn::MulAdd(weights[g][p], value, sums[g][p][t]);
        });
      });
    }
    store_sums(m, group, row, sums);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
