// Rows of any length, 16 floats at a time: the last part of a row is filled up with zeros. For the
// operations of training.

#if defined(TROUPE_PARTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_PARTS_INL_HPP
#undef TROUPE_PARTS_INL_HPP
#else
#define TROUPE_PARTS_INL_HPP
#endif

#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// The 16 floats at `i` of n, filled up with zeros.
HWY_INLINE Floats16 part16(const float* from, std::size_t i, std::size_t n) {
  return i + 16 <= n ? load16(from + i) : load_tail(from + i, n - i, 0);
}
HWY_INLINE void put16(const Floats16& v, float* to, std::size_t i, std::size_t n) {
  if (i + 16 <= n)
    store16(v, to + i);
  else
    store_tail(v, to + i, n - i);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
