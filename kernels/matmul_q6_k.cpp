// Weights with a scale for 16 columns and no minimum: Q6_K and Q3_K.

#include "base/weight_blocks.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_q6_k.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// Scales are signed bytes.
struct Q6KFormat : PackedFormat<8, 6, 18> {
  using Product = HalfScalesProduct<UnsignedDot<63, 32>>;

  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    const FloatVector d = load_halves(packed, 0, part);
    unroll<4>([&](auto w) TROUPE_LAMBDA {
      const IntVector words = load_words(packed, 32 + 64 * w, part);
      unroll<4>([&](auto i) TROUPE_LAMBDA {
        constexpr int left = 24 - 8 * static_cast<int>(i);
        const IntVector code = hn::ShiftRight<24>(shift_words<-left>(words));
        out[4 * w + i] = hn::Mul(d, hn::ConvertTo(FloatTag(), code));
      });
    });
  }
};

/// Scales of six bits, 32 too large; four of them are low and high nibbles of eight bytes, two are in the
/// last four.
struct Q3KFormat : PackedFormat<8, 3, 14> {
  using Product = HalfScalesProduct<UnsignedDot<7, 4>>;

  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    const FloatVector d = load_halves(packed, 0, part);
    const IntVector low[2] = {load_words(packed, 32, part), load_words(packed, 96, part)};
    const IntVector high = load_words(packed, 160, part);
    unroll<4>([&](auto w) TROUPE_LAMBDA {
      constexpr int nibble = w < 2 ? 0 : 4, pair = 2 * static_cast<int>(w);
      const IntVector above = shift_words<pair - 4>(high);
      const IntVector codes = hn::Or(bits_of_bytes<nibble, 0, 4>(low[w % 2]), bits_of_bytes<4, 4, 2>(above));
      unroll<4>([&](auto i) TROUPE_LAMBDA {
        const IntVector code = hn::Sub(byte_of<i>(codes), hn::Set(IntTag(), 32));
        out[4 * w + i] = hn::Mul(d, hn::ConvertTo(FloatTag(), code));
      });
    });
  }
};
static_assert(Q6KFormat::packed_bytes == group_rows * sizeof(blocks::Q6K));
static_assert(Q3KFormat::packed_bytes == group_rows * sizeof(blocks::Q3K));

void multiply_q6_k(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q6KFormat>(m, r);
}
void multiply_q3_k(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q3KFormat>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_q6_k);
HWY_EXPORT(multiply_q3_k);

}  // namespace

const WeightKernel q6_k_weights =
    quantized_weights<TensorType::q6_k, blocks::Q6K, 256>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q6_k)
      (m, r);
    });
const WeightKernel q3_k_weights =
    quantized_weights<TensorType::q3_k, blocks::Q3K, 256>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q3_k)
      (m, r);
    });

}  // namespace troupe
#endif
