// Thirty-two floats as int8 and a scale: activations, and what attention has in q8_0.
#if defined(TROUPE_KERNELS_INT8_BLOCK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_INT8_BLOCK_INL
#undef TROUPE_KERNELS_INT8_BLOCK_INL
#else
#define TROUPE_KERNELS_INT8_BLOCK_INL
#endif

#include <bit>

#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

constexpr std::size_t int8_block = 32;

/// The largest absolute value of a block, or NaN if there is one. Found among the bits, which are in the same
/// order with NaN above infinity: a CPU's maximum of floats may drop NaN.
HWY_INLINE float largest_of_block(const float* x) {
  const FloatTag d;
  const IntTag di;
  const auto magnitude = [&](std::size_t i) TROUPE_LAMBDA {
    return hn::And(hn::BitCast(di, hn::LoadU(d, x + i)), hn::Set(di, 0x7FFFFFFF));
  };
  IntVector top = magnitude(0);
  for (std::size_t i = lanes; i < int8_block; i += lanes) top = hn::Max(top, magnitude(i));
  return std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(di, top)));
}

/// A scale, and what values are multiplied with to become codes.
struct BlockScale {
  float scale, inverse;
};

/// Of a block whose largest absolute value is `top`. Below 1e-30 it counts as zero (127 / top could
/// overflow); NaN is not below, and stays visible in the scale.
HWY_INLINE BlockScale block_scale(float top) {
  return {top <= 1e-30f ? 0.0f : top / 127.0f, top > 1e-30f ? 127.0f / top : 0.0f};
}

/// codes = x * inverse, ties to even; in sums the lanes to add up for the codes' first and last 16.
HWY_INLINE void encode_block(const float* x, float inverse, std::int8_t* codes, IntVector (&sums)[2]) {
  const FloatTag d;
  const IntTag di;
  const hn::Rebind<std::int8_t, IntTag> d8;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits, alike on every target.
  const FloatVector factor = hn::Set(d, inverse), rounder = hn::Set(d, 0x1.8p23f);
  sums[0] = sums[1] = hn::Zero(di);
  for (std::size_t i = 0; i < int8_block; i += lanes) {
    const FloatVector shifted = hn::Add(hn::Mul(hn::LoadU(d, x + i), factor), rounder);
    IntVector q = hn::Sub(hn::BitCast(di, shifted), hn::BitCast(di, rounder));
    // Infinities and NaN must not leave -127..127, which the integer sums rely on.
    q = hn::Max(hn::Min(q, hn::Set(di, 127)), hn::Set(di, -127));
    sums[i / 16] = hn::Add(sums[i / 16], q);
    hn::StoreU(hn::DemoteTo(d8, q), d8, codes + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
