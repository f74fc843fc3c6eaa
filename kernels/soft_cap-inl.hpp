// The soft-capping of scores and logits.
#if defined(TROUPE_KERNELS_SOFT_CAP_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_SOFT_CAP_INL
#undef TROUPE_KERNELS_SOFT_CAP_INL
#else
#define TROUPE_KERNELS_SOFT_CAP_INL
#endif

#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// cap tanh(x / cap), absolute error below 4e-7 cap: cap - 2 cap / (exp(2 x / cap) + 1).
HWY_INLINE Floats16 soft_cap16(const Floats16& x, float cap) {
  return map16([&](auto p) TROUPE_LAMBDA {
    const FloatTag d;
    const FloatVector e = exp_vector(hn::Mul(x.part[p], hn::Set(d, 2 / cap)));
    const FloatVector rest = hn::Div(hn::Set(d, 2 * cap), hn::Add(e, hn::Set(d, 1.0f)));
    return hn::Sub(hn::Set(d, cap), rest);
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
