// Sixteen floats as the kernels see them: one 512-bit vector, two of 256, four of 128 or sixteen scalars.
// Every sum runs in these sixteen lanes and is folded in one fixed tree, so a result's bits are the same on
// every target that has fused multiply-add (AVX2, AVX3*, NEON). On SSE4 and scalar targets a multiply-add
// rounds twice; their results differ in the last bits.
//
// No #pragma once: foreach_target includes this once per target.
#if defined(TROUPE_KERNELS_SIMD_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_SIMD_INL
#undef TROUPE_KERNELS_SIMD_INL
#else
#define TROUPE_KERNELS_SIMD_INL
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "hwy/highway.h"
#include "kernels/f16.hpp"

// Lambdas need the target named again with clang; all of them exist to be unrolled.
#undef TROUPE_LAMBDA
#define TROUPE_LAMBDA HWY_ATTR __attribute__((always_inline))

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using Vector = decltype(hn::Zero(D()));

using FloatTag = hn::CappedTag<float, 16>;
using IntTag = hn::RebindToSigned<FloatTag>;
using FloatVector = Vector<FloatTag>;
using IntVector = Vector<IntTag>;

/// Lanes of one vector and how many of them make sixteen.
constexpr std::size_t lanes = hn::MaxLanes(FloatTag());
constexpr std::size_t parts = 16 / lanes;

template <class Body, std::size_t... I>
HWY_INLINE void unroll_indices(std::index_sequence<I...>, Body&& body) {
  (body(std::integral_constant<std::size_t, I>()), ...);
}

/// body(0), …, body(N - 1) with constant indices: arrays of vectors then live in registers.
template <std::size_t N, class Body>
HWY_INLINE void unroll(Body&& body) {
  unroll_indices(std::make_index_sequence<N>(), body);
}

// ---- f16 <-> f32, D's lanes at a time, exact or nearest even on every target.

template <class D>
HWY_INLINE Vector<D> load_f16(D d, const std::uint16_t* from) {
#if HWY_TARGET == HWY_NEON || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2)
  const hn::Rebind<hwy::float16_t, D> half;
  return hn::PromoteTo(d, hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(from)));
#else
  HWY_ALIGN float buffer[hn::MaxLanes(d)];
  for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) buffer[i] = f16_to_f32(from[i]);
  return hn::Load(d, buffer);
#endif
}

template <class D>
HWY_INLINE void store_f16(Vector<D> v, D d, std::uint16_t* to) {
#if HWY_TARGET == HWY_NEON || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2)
  const hn::Rebind<hwy::float16_t, D> half;
  hn::StoreU(hn::DemoteTo(half, v), half, reinterpret_cast<hwy::float16_t*>(to));
#else
  HWY_ALIGN float buffer[hn::MaxLanes(d)];
  hn::Store(v, d, buffer);
  for (std::size_t i = 0; i < hn::MaxLanes(d); ++i) to[i] = f32_to_f16(buffer[i]);
#endif
}

// ---- Sixteen floats.

struct Floats16 {
  FloatVector part[parts];
};

template <class Op>
HWY_INLINE Floats16 map16(Op&& op) {
  Floats16 out;
  unroll<parts>([&](auto p) TROUPE_LAMBDA { out.part[p] = op(p); });
  return out;
}

HWY_INLINE Floats16 set16(float value) {
  return map16([&](auto) TROUPE_LAMBDA { return hn::Set(FloatTag(), value); });
}
HWY_INLINE Floats16 load16(const float* from) {
  return map16([&](auto p) TROUPE_LAMBDA { return hn::LoadU(FloatTag(), from + p * lanes); });
}
HWY_INLINE void store16(const Floats16& v, float* to) {
  unroll<parts>([&](auto p) TROUPE_LAMBDA { hn::StoreU(v.part[p], FloatTag(), to + p * lanes); });
}
/// The first n (< 16) floats, the rest `fill`.
HWY_INLINE Floats16 load_tail(const float* from, std::size_t n, float fill) {
  float buffer[16];
  for (std::size_t i = 0; i < 16; ++i) buffer[i] = i < n ? from[i] : fill;
  return load16(buffer);
}
HWY_INLINE void store_tail(const Floats16& v, float* to, std::size_t n) {
  float buffer[16];
  store16(v, buffer);
  std::memcpy(to, buffer, n * sizeof(float));
}

HWY_INLINE Floats16 add(const Floats16& a, const Floats16& b) {
  return map16([&](auto p) TROUPE_LAMBDA { return hn::Add(a.part[p], b.part[p]); });
}
HWY_INLINE Floats16 mul(const Floats16& a, const Floats16& b) {
  return map16([&](auto p) TROUPE_LAMBDA { return hn::Mul(a.part[p], b.part[p]); });
}
HWY_INLINE Floats16 mul_add(const Floats16& a, const Floats16& b, const Floats16& c) {
  return map16([&](auto p) TROUPE_LAMBDA { return hn::MulAdd(a.part[p], b.part[p], c.part[p]); });
}
HWY_INLINE Floats16 max(const Floats16& a, const Floats16& b) {
  return map16([&](auto p) TROUPE_LAMBDA { return hn::Max(a.part[p], b.part[p]); });
}

/// Folds sixteen lanes with op in one tree, whatever the vector length: i with i + 8, then + 4, 2, 1.
template <class Op>
HWY_INLINE float fold16(const Floats16& v, Op&& op) {
  FloatVector part[parts];
  unroll<parts>([&](auto p) TROUPE_LAMBDA { part[p] = v.part[p]; });
  unroll<parts>([&](auto step) TROUPE_LAMBDA {
    constexpr std::size_t half = parts >> (step + 1);
    unroll<half>([&](auto p) TROUPE_LAMBDA { part[p] = op(FloatTag(), part[p], part[p + half]); });
  });
#if HWY_TARGET == HWY_SCALAR
  return hn::GetLane(part[0]);
#else
  const auto quarter = [&]() TROUPE_LAMBDA {
    if constexpr (lanes == 16) {
      const hn::Half<FloatTag> d8;
      const hn::Half<decltype(d8)> d4;
      const auto eight = op(d8, hn::LowerHalf(d8, part[0]), hn::UpperHalf(d8, part[0]));
      return op(d4, hn::LowerHalf(d4, eight), hn::UpperHalf(d4, eight));
    } else if constexpr (lanes == 8) {
      const hn::Half<FloatTag> d4;
      return op(d4, hn::LowerHalf(d4, part[0]), hn::UpperHalf(d4, part[0]));
    } else {
      return part[0];
    }
  }();
  const hn::CappedTag<float, 4> d4;
  const auto pair = op(d4, quarter, hn::Shuffle1032(quarter));
  return hn::GetLane(op(d4, pair, hn::Shuffle2301(pair)));
#endif
}

HWY_INLINE float sum16(const Floats16& v) {
  return fold16(v, [](auto, auto a, auto b) TROUPE_LAMBDA { return hn::Add(a, b); });
}
HWY_INLINE float max16(const Floats16& v) {
  return fold16(v, [](auto, auto a, auto b) TROUPE_LAMBDA { return hn::Max(a, b); });
}

/// exp(x), relative error below 2e-7. 0 below -87.33 and infinity above 88.37 (a hair inside the range of
/// float, so that 2^n is a normal number); NaN for NaN. x = n ln 2 + r with |r| <= ln 2 / 2, and the Taylor
/// series of e^r to the 7th power (remainder 5e-9).
HWY_INLINE FloatVector exp_vector(FloatVector x) {
  const FloatTag d;
  const IntTag di;
  const auto c = [&](float value) TROUPE_LAMBDA { return hn::Set(d, value); };
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits of the mantissa.
  const FloatVector rounder = c(0x1.8p23f);
  const FloatVector shifted = hn::MulAdd(x, c(1.44269504f), rounder);
  const FloatVector n = hn::Sub(shifted, rounder);
  // ln 2 in two pieces; n times the first, of 15 bits, is exact.
  const FloatVector r = hn::NegMulAdd(n, c(1.42860682e-6f), hn::NegMulAdd(n, c(0x1.62e4p-1f), x));
  FloatVector p = c(1.0f / 5040);
  p = hn::MulAdd(p, r, c(1.0f / 720));
  p = hn::MulAdd(p, r, c(1.0f / 120));
  p = hn::MulAdd(p, r, c(1.0f / 24));
  p = hn::MulAdd(p, r, c(1.0f / 6));
  p = hn::MulAdd(p, r, c(0.5f));
  p = hn::MulAdd(p, r, c(1.0f));
  p = hn::MulAdd(p, r, c(1.0f));
  const IntVector power = hn::ShiftLeft<23>(hn::Add(hn::BitCast(di, shifted), hn::Set(di, 127)));
  p = hn::Mul(p, hn::BitCast(d, power));
  p = hn::IfThenElse(hn::Lt(x, c(-87.33f)), hn::Zero(d), p);
  return hn::IfThenElse(hn::Gt(x, c(88.37f)), c(__builtin_inff()), p);
}
HWY_INLINE Floats16 exp16(const Floats16& x) {
  return map16([&](auto p) TROUPE_LAMBDA { return exp_vector(x.part[p]); });
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
