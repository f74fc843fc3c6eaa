// Weights in Q2_K.

#include "base/weight_blocks.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_q2_k.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// Scales and minima are low and high nibbles of sixteen bytes.
struct Q2KFormat : PackedFormat<8, 2, 20> {
  using Product = HalfScalesMinsProduct<UnsignedDot<3, 0>>;

  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    const FloatTag d;
    const FloatVector scale = load_halves(packed, 0, part);
    const FloatVector min = hn::Mul(load_halves(packed, 1, part), hn::Set(d, 1.0f / 32));
    unroll<4>([&](auto w) TROUPE_LAMBDA {
      const IntVector words = load_words(packed, 64 + 64 * w, part);
      const IntVector low = bits_of_bytes<0, 0, 4>(words), high = bits_of_bytes<4, 0, 4>(words);
      unroll<4>([&](auto i) TROUPE_LAMBDA {
        constexpr std::size_t sixteen = 4 * w + i, at = sixteen / 2 * 4 + sixteen % 2;
        out[at] = hn::Mul(scale, hn::ConvertTo(d, byte_of<i>(low)));
        out[at + 2] = hn::Mul(min, hn::ConvertTo(d, byte_of<i>(high)));
      });
    });
  }
};
static_assert(Q2KFormat::packed_bytes == group_rows * sizeof(blocks::Q2K));

void multiply_q2_k(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q2KFormat>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_q2_k);

}  // namespace

const WeightKernel q2_k_weights =
    quantized_weights<TensorType::q2_k, blocks::Q2K, 256>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q2_k)
      (m, r);
    });

}  // namespace troupe
#endif
