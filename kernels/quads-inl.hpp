// Integer dot products over quads: a vector of bytes holds the same four k of `lanes` rows, row by row, so
// four products add up inside a row's 32-bit lane and no sum across lanes is ever needed. Sixteen rows and
// four k take 64 bytes: one vector of AVX3, two of AVX2, four of SSE4 and NEON. All sums are exact, so every
// target gives the same integers, whatever instructions it has:
//   AVX3_DL and later  vpdpbusd (u8 x s8, four products into 32 bits)
//   AVX3, AVX2, SSE4   maddubs (u8 x s8, pairs into 16 bits, saturating: the operands below never saturate)
//   others             SumOfMulQuadAccumulate of Highway 1.1 and later, else widening by shifts
#if defined(TROUPE_KERNELS_QUADS_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_QUADS_INL
#undef TROUPE_KERNELS_QUADS_INL
#else
#define TROUPE_KERNELS_QUADS_INL
#endif

#include "kernels/simd-inl.hpp"

#undef TROUPE_QUADS_VNNI
#undef TROUPE_QUADS_PAIRS
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
#define TROUPE_QUADS_VNNI 1
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_SSE4
#define TROUPE_QUADS_PAIRS 1
#endif

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// Bytes from one quad of a group of 16 rows to the next.
constexpr std::size_t quad_bytes = 64;

#if HWY_TARGET == HWY_SCALAR

// One row at a time: this target has no vectors of bytes.

using Quad = std::uint32_t;

HWY_INLINE Quad set_quad(std::uint8_t byte) {
  return byte * 0x01010101u;
}
HWY_INLINE Quad load_quad(const std::byte* from, std::size_t part) {
  Quad q;
  std::memcpy(&q, from + 4 * part, sizeof q);
  return q;
}
HWY_INLINE void store_quad(Quad q, std::byte* to, std::size_t part) {
  std::memcpy(to + 4 * part, &q, sizeof q);
}
/// Shifted right or, if n is negative, left; bits move between bytes.
template <int n>
HWY_INLINE Quad shift(Quad q) {
  if constexpr (n < 0)
    return q << -n;
  else
    return q >> n;
}
HWY_INLINE Quad and_mask(Quad q, Quad mask) {
  return q & mask;
}
HWY_INLINE Quad or_masked(Quad q, Quad other, Quad mask) {
  return q | (other & mask);
}
HWY_INLINE Quad flip(Quad q, Quad bits) {
  return q ^ bits;
}
/// Every byte, 0..15, replaced by the byte of the table that it counts.
HWY_INLINE Quad look_up(const std::int8_t* table, Quad q) {
  Quad out = 0;
  for (int c = 0; c < 32; c += 8)
    out |= static_cast<Quad>(static_cast<std::uint8_t>(table[q >> c & 15])) << c;
  return out;
}

#else

using ByteTag = hn::CappedTag<std::int8_t, 64>;
using UnsignedByteTag = hn::RebindToUnsigned<ByteTag>;
using ShortTag = hn::CappedTag<std::int16_t, 32>;
using ByteVector = Vector<ByteTag>;
using UnsignedByteVector = Vector<UnsignedByteTag>;
using ShortVector = Vector<ShortTag>;

/// The four activations x[0..4) in every lane.
HWY_INLINE ByteVector broadcast_quad(const std::int8_t* x) {
  std::int32_t bits;
  std::memcpy(&bits, x, sizeof bits);
  return hn::BitCast(ByteTag(), hn::Set(IntTag(), bits));
}

#if TROUPE_QUADS_VNNI

/// sum + the dot product of the unsigned w with the quad at x in every lane. As an instruction by name:
/// Highway 1.0 does not declare the target's VNNI, and the broadcast is part of the memory operand.
HWY_INLINE IntVector add_dot(IntVector sum, UnsignedByteVector w, const std::int8_t* x) {
  using QuadBits [[gnu::may_alias]] = std::int32_t;
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum.raw)
      : "v"(w.raw), "m"(*reinterpret_cast<const QuadBits*>(x)));
  return sum;
}
/// The same with the quad in every lane of x.
HWY_INLINE IntVector add_dot(IntVector sum, UnsignedByteVector w, ByteVector x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "v"(x.raw));
  return sum;
}

#elif TROUPE_QUADS_PAIRS

/// u8 x s8, neighbours added: saturates beyond 16 bits.
HWY_INLINE ShortVector multiply_pairs(UnsignedByteVector a, ByteVector b) {
#if HWY_CAP_GE512
  return ShortVector{_mm512_maddubs_epi16(a.raw, b.raw)};
#elif HWY_CAP_GE256
  return ShortVector{_mm256_maddubs_epi16(a.raw, b.raw)};
#else
  return ShortVector{_mm_maddubs_epi16(a.raw, b.raw)};
#endif
}

/// Neighbours added, into 32 bits.
HWY_INLINE IntVector widen_pairs(ShortVector v) {
#if HWY_CAP_GE512
  return IntVector{_mm512_madd_epi16(v.raw, _mm512_set1_epi16(1))};
#elif HWY_CAP_GE256
  return IntVector{_mm256_madd_epi16(v.raw, _mm256_set1_epi16(1))};
#else
  return IntVector{_mm_madd_epi16(v.raw, _mm_set1_epi16(1))};
#endif
}

/// x with the sign of w; where w is 0 the result is multiplied by 0 later.
HWY_INLINE ByteVector with_sign(ByteVector x, ByteVector w) {
#if HWY_CAP_GE512
  return ByteVector{_mm512_mask_sub_epi8(x.raw, _mm512_movepi8_mask(w.raw), _mm512_setzero_si512(), x.raw)};
#elif HWY_CAP_GE256
  return ByteVector{_mm256_sign_epi8(x.raw, w.raw)};
#else
  return ByteVector{_mm_sign_epi8(x.raw, w.raw)};
#endif
}

#else

/// sum + the dot products of quads of signed bytes.
HWY_INLINE IntVector add_dot(IntVector sum, ByteVector w, ByteVector x) {
#if HWY_MAJOR * 100 + HWY_MINOR >= 101
  return hn::SumOfMulQuadAccumulate(IntTag(), w, x, sum);
#else
  const ShortTag d16;
  const ShortVector w16 = hn::BitCast(d16, w), x16 = hn::BitCast(d16, x);
  const auto low = [&](ShortVector v) TROUPE_LAMBDA { return hn::ShiftRight<8>(hn::ShiftLeft<8>(v)); };
  // Two products of at most 128 * 127 fit 16 bits.
  const ShortVector pairs =
      hn::Add(hn::Mul(low(w16), low(x16)), hn::Mul(hn::ShiftRight<8>(w16), hn::ShiftRight<8>(x16)));
  const IntVector pairs32 = hn::BitCast(IntTag(), pairs);
  return hn::Add(sum, hn::Add(hn::ShiftRight<16>(hn::ShiftLeft<16>(pairs32)), hn::ShiftRight<16>(pairs32)));
#endif
}

#endif

using Quad = UnsignedByteVector;

HWY_INLINE Quad set_quad(std::uint8_t byte) {
  return hn::Set(UnsignedByteTag(), byte);
}
HWY_INLINE Quad load_quad(const std::byte* from, std::size_t part) {
  return hn::LoadU(UnsignedByteTag(), reinterpret_cast<const std::uint8_t*>(from) + part * lanes * 4);
}
HWY_INLINE void store_quad(Quad q, std::byte* to, std::size_t part) {
  hn::StoreU(q, UnsignedByteTag(), reinterpret_cast<std::uint8_t*>(to) + part * lanes * 4);
}
/// Shifted right or, if n is negative, left; bits move between bytes.
template <int n>
HWY_INLINE Quad shift(Quad q) {
  const auto words = hn::BitCast(hn::RebindToUnsigned<ShortTag>(), q);
  if constexpr (n == 0)
    return q;
  else if constexpr (n < 0)
    return hn::BitCast(UnsignedByteTag(), hn::ShiftLeft<-n>(words));
  else
    return hn::BitCast(UnsignedByteTag(), hn::ShiftRight<n>(words));
}
HWY_INLINE Quad and_mask(Quad q, Quad mask) {
  return hn::And(q, mask);
}
HWY_INLINE Quad or_masked(Quad q, Quad other, Quad mask) {
  return hn::OrAnd(q, other, mask);
}
HWY_INLINE Quad flip(Quad q, Quad bits) {
  return hn::Xor(q, bits);
}
/// Every byte, 0..15, replaced by the byte of the table that it counts.
HWY_INLINE Quad look_up(const std::int8_t* table, Quad q) {
  const auto bytes = hn::LoadDup128(UnsignedByteTag(), reinterpret_cast<const std::uint8_t*>(table));
  return hn::TableLookupBytes(bytes, q);
}

#endif  // HWY_SCALAR

/// 32 columns of `lanes` rows.
struct Quads {
  Quad quad[8];
};

/// Rows of activations that Dot::add takes at a time to advantage: VNNI's additions wait for each other (5
/// cycles each), and quad by quad over several rows the scheduler need not look far ahead for others.
#if TROUPE_QUADS_VNNI
constexpr std::size_t dot_rows_step = 4;
#else
constexpr std::size_t dot_rows_step = 1;
#endif

/// Products with weights that are the bytes of Quads minus `zero`, the bytes 0..max.
template <int max, int zero_>
struct UnsignedDot {
  static constexpr int zero = zero_;
  static constexpr std::size_t groups = 1;
  Quads w;

  explicit HWY_INLINE UnsignedDot(const Quads& quads) : w(quads) {}

  /// dots[t] += the sum over `count` quads from `first` on of byte * x[32 * t + ...], for t < N.
  template <std::size_t N, std::size_t first, std::size_t count>
  HWY_INLINE void add(const std::int8_t* x, IntVector* dots) const {
#if TROUPE_QUADS_VNNI
    unroll<count>([&](auto j) TROUPE_LAMBDA {
      unroll<N>([&](auto t) TROUPE_LAMBDA {
        dots[t] = add_dot(dots[t], w.quad[first + j], x + 32 * t + 4 * (first + j));
      });
    });
#elif TROUPE_QUADS_PAIRS
    // So many pairs of products fit 16 bits; then they are widened.
    constexpr std::size_t fit = 32767 / (2 * 127 * max), run = fit >= count ? count : fit >= 4 ? 4 : fit;
    static_assert(run > 0 && count % run == 0);
    unroll<N>([&](auto t) TROUPE_LAMBDA {
      unroll<count / run>([&](auto r) TROUPE_LAMBDA {
        constexpr std::size_t begin = first + r * run;
        ShortVector sum = multiply_pairs(w.quad[begin], broadcast_quad(x + 32 * t + 4 * begin));
        unroll<run - 1>([&](auto i) TROUPE_LAMBDA {
          constexpr std::size_t j = begin + 1 + i;
          sum = hn::Add(sum, multiply_pairs(w.quad[j], broadcast_quad(x + 32 * t + 4 * j)));
        });
        dots[t] = hn::Add(dots[t], widen_pairs(sum));
      });
    });
#elif HWY_TARGET == HWY_SCALAR
    unroll<N>([&](auto t) TROUPE_LAMBDA {
      std::int32_t sum = 0;
      for (std::size_t k = 4 * first; k < 4 * (first + count); ++k)
        sum += static_cast<int>(w.quad[k / 4] >> 8 * (k % 4) & 255) * x[32 * t + k];
      dots[t] = hn::Add(dots[t], hn::Set(IntTag(), sum));
    });
#else
    unroll<N>([&](auto t) TROUPE_LAMBDA {
      unroll<count>([&](auto j) TROUPE_LAMBDA {
        dots[t] = add_dot(dots[t], hn::BitCast(ByteTag(), w.quad[first + j]),
                          broadcast_quad(x + 32 * t + 4 * (first + j)));
      });
    });
#endif
  }
};

#if TROUPE_QUADS_VNNI

/// Products with signed bytes, which Quads hold with 128 added.
using SignedDot = UnsignedDot<255, 128>;
constexpr std::uint8_t signed_flip = 128;

#else

/// Products with signed bytes.
constexpr std::uint8_t signed_flip = 0;

struct SignedDot {
  static constexpr int zero = 0;
  static constexpr std::size_t groups = 1;
  Quads w;
#if TROUPE_QUADS_PAIRS
  Quads magnitude;
#endif

  explicit HWY_INLINE SignedDot(const Quads& quads) : w(quads) {
#if TROUPE_QUADS_PAIRS
    unroll<8>([&](auto j) TROUPE_LAMBDA {
      magnitude.quad[j] = hn::BitCast(UnsignedByteTag(), hn::Abs(hn::BitCast(ByteTag(), w.quad[j])));
    });
#endif
  }

  template <std::size_t N, std::size_t first, std::size_t count>
  HWY_INLINE void add(const std::int8_t* x, IntVector* dots) const {
    unroll<N>([&](auto t) TROUPE_LAMBDA {
#if HWY_TARGET == HWY_SCALAR
      std::int32_t sum = 0;
      for (std::size_t k = 4 * first; k < 4 * (first + count); ++k)
        sum += static_cast<std::int8_t>(w.quad[k / 4] >> 8 * (k % 4)) * x[32 * t + k];
      dots[t] = hn::Add(dots[t], hn::Set(IntTag(), sum));
#else
      unroll<count>([&](auto i) TROUPE_LAMBDA {
        constexpr std::size_t j = first + i;
        const ByteVector values = hn::BitCast(ByteTag(), w.quad[j]);
        const ByteVector quad = broadcast_quad(x + 32 * t + 4 * j);
#if TROUPE_QUADS_PAIRS
        // |w| times x with w's sign, and not the other way round: -(-128) is no int8. Pairs reach 2 * 128 *
        // 127.
        dots[t] = hn::Add(dots[t], widen_pairs(multiply_pairs(magnitude.quad[j], with_sign(quad, values))));
#else
        dots[t] = add_dot(dots[t], values, quad);
#endif
      });
#endif
    });
  }
};

#endif  // VNNI

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
