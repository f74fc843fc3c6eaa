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

/// Weight, of a name of its own in the program: `static FloatVector load(const Stored*)`, `lanes` weights,
/// and the type Stored.
template <class Weight>
struct FloatKernel {
  // T x parts accumulators and parts weights: 32 registers of AVX3 hold 2 x 12 + 2, 16 of AVX2 2 x 6 + 2.
#if HWY_CAP_GE512
  static constexpr std::size_t streams = 4;
  using Tiles = std::index_sequence<16, 8, 4, 2, 1>;
#elif HWY_CAP_GE256
  static constexpr std::size_t streams = 2;
  using Tiles = std::index_sequence<6, 4, 2, 1>;
#elif HWY_TARGET == HWY_SCALAR
  static constexpr std::size_t streams = 1;
  using Tiles = std::index_sequence<1>;
#else
  static constexpr std::size_t streams = 1;
  using Tiles = std::index_sequence<4, 2, 1>;
#endif

  template <std::size_t G, std::size_t T>
  static HWY_NOINLINE void tile(const MatmulOperands& m, std::size_t group, std::size_t row) {
    using Stored = typename Weight::Stored;
    const FloatTag d;
    const std::size_t cols = m.cols, stride = m.group_bytes / sizeof(Stored);
    const auto* w = reinterpret_cast<const Stored*>(m.weights + group * m.group_bytes);
    const float* x = m.x->f32() + row * cols;
    FloatVector sums[G][T][parts];
    unroll<G * T * parts>(
        [&](auto i) TROUPE_LAMBDA { sums[i / (T * parts)][i / parts % T][i % parts] = hn::Zero(d); });
    for (std::size_t k = 0; k < cols; ++k, w += group_rows) {
      FloatVector weights[G][parts];
      unroll<G * parts>([&](auto i) TROUPE_LAMBDA {
        constexpr std::size_t g = i / parts, p = i % parts;
        weights[g][p] = Weight::load(w + g * stride + p * lanes);
        if constexpr (T <= 2 && p == 0) __builtin_prefetch(w + g * stride + 32 * group_rows);
      });
      unroll<T>([&](auto t) TROUPE_LAMBDA {
        const FloatVector value = hn::Set(d, x[t * cols + k]);
        unroll<G * parts>([&](auto i) TROUPE_LAMBDA {
          constexpr std::size_t g = i / parts, p = i % parts;
          sums[g][t][p] = hn::MulAdd(weights[g][p], value, sums[g][t][p]);
        });
      });
    }
    unroll<G * T>([&](auto i) TROUPE_LAMBDA {
      constexpr std::size_t g = i / T, t = i % T;
      store_outputs(m, group + g, row + t, map16([&](auto p) TROUPE_LAMBDA { return sums[g][t][p]; }));
    });
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
