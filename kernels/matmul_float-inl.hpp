// The tile loop for weights that are multiplied as floats. Packed: [k][32 rows]. One chain of fused
// multiply-adds per output, k ascending. A "group" here is half of a packed one: 16 rows.
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
  static constexpr std::size_t groups_max = 2;  // all of a packed one, where there is room
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
    const std::size_t cols = m.cols, rows = m.x->rows();
    const auto* w =
        reinterpret_cast<const Stored*>(m.weights + group / 2 * m.group_bytes) + group % 2 * group_rows;
    const float* x = m.x->columns() + row;
    FloatVector sums[G][parts][T];
    clear_sums(sums);
    for (std::size_t k = 0; k < cols; ++k, w += float_group_rows, x += rows) {
      prefetch<float_group_rows * sizeof(Stored)>(reinterpret_cast<const std::byte*>(w) + ahead_bytes);
      FloatVector weights[G][parts];
      unroll<G * parts>([&](auto i)
                            TROUPE_LAMBDA { weights[i / parts][i % parts] = Weight::load(w + i * lanes); });
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

template <class Weight>
HWY_INLINE void multiply_floats(const MatmulOperands& m, const MatmulRange& r) {
  const std::size_t end = std::min(2 * r.group_end, (m.out_rows + group_rows - 1) / group_rows);
  multiply_range<FloatKernel<Weight>>(m, {2 * r.group_begin, end, r.row_begin, r.row_end});
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
