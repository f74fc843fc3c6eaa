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

struct SignedQuads {
  const std::uint8_t* bytes;

  static HWY_INLINE SignedQuads load(const std::uint8_t* block, std::size_t part) {
    return {block + 4 * part};
  }

  HWY_INLINE IntVector dot(const std::int8_t* x, std::int32_t) const {
    std::int32_t sum = 0;
    for (std::size_t k = 0; k < 32; ++k)
      sum += static_cast<std::int8_t>(bytes[k / 4 * quad_bytes + k % 4]) * x[k];
    return hn::Set(IntTag(), sum);
  }
};

struct NibbleQuads {
  const std::uint8_t* bytes;

  static HWY_INLINE NibbleQuads load(const std::uint8_t* block, std::size_t part) {
    return {block + 4 * part};
  }

  HWY_INLINE IntVector dot(const std::int8_t* x, [[maybe_unused]] std::int32_t offset) const {
    std::int32_t sum = offset;
    for (std::size_t k = 0; k < 16; ++k) {
      const std::uint8_t pair = bytes[k / 4 * quad_bytes + k % 4];
      sum += (pair & 15) * x[k] + (pair >> 4) * x[k + 16];
    }
    return hn::Set(IntTag(), sum);
  }
};

#else

using ByteTag = hn::CappedTag<std::int8_t, 64>;
using UnsignedByteTag = hn::RebindToUnsigned<ByteTag>;
using ShortTag = hn::CappedTag<std::int16_t, 32>;
using ByteVector = Vector<ByteTag>;
using UnsignedByteVector = Vector<UnsignedByteTag>;
using ShortVector = Vector<ShortTag>;

HWY_INLINE UnsignedByteVector load_quad(const std::uint8_t* block, std::size_t quad, std::size_t part) {
  return hn::LoadU(UnsignedByteTag(), block + quad * quad_bytes + part * lanes * 4);
}

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

/// 32 signed bytes of each of `lanes` rows: eight quads, 512 bytes for a group.
struct SignedQuads {
#if TROUPE_QUADS_VNNI
  UnsignedByteVector quad[8];  // w + 128
#elif TROUPE_QUADS_PAIRS
  UnsignedByteVector quad[8];  // |w|, up to 128
  const std::uint8_t* block;
  std::size_t part;
#else
  UnsignedByteVector quad[8];  // w
#endif

  static HWY_INLINE SignedQuads load(const std::uint8_t* block, std::size_t part) {
    SignedQuads out;
    unroll<8>([&](auto j) TROUPE_LAMBDA {
      const UnsignedByteVector w = load_quad(block, j, part);
#if TROUPE_QUADS_VNNI
      out.quad[j] = hn::Xor(w, hn::Set(UnsignedByteTag(), 128));
#elif TROUPE_QUADS_PAIRS
      out.quad[j] = hn::BitCast(UnsignedByteTag(), hn::Abs(hn::BitCast(ByteTag(), w)));
#else
      out.quad[j] = w;
#endif
    });
#if TROUPE_QUADS_PAIRS
    out.block = block, out.part = part;
#endif
    return out;
  }

#if TROUPE_QUADS_VNNI
  static HWY_INLINE IntVector start(std::int32_t offset) {
    return hn::ShiftLeft<4>(hn::Set(IntTag(), offset));  // -128 * the sum of x
  }
#endif

  /// The sum over k of w * x, x[32] in -127..127 and `offset` -8 times their sum.
  HWY_INLINE IntVector dot(const std::int8_t* x, [[maybe_unused]] std::int32_t offset) const {
#if TROUPE_QUADS_VNNI
    IntVector sum = start(offset);
    unroll<8>([&](auto j) TROUPE_LAMBDA { sum = add_dot(sum, quad[j], x + 4 * j); });
    return sum;
#elif TROUPE_QUADS_PAIRS
    IntVector sum = hn::Zero(IntTag());
    unroll<8>([&](auto j) TROUPE_LAMBDA {
      // |w| times x with w's sign, and not the other way round: -(-128) is no int8. Pairs reach 2 * 128 *
      // 127.
      const ByteVector w = hn::BitCast(ByteTag(), load_quad(block, j, part));
      sum = hn::Add(sum, widen_pairs(multiply_pairs(quad[j], with_sign(broadcast_quad(x + 4 * j), w))));
    });
    return sum;
#else
    IntVector sum = hn::Zero(IntTag());
    unroll<8>([&](auto j) TROUPE_LAMBDA {
      sum = add_dot(sum, hn::BitCast(ByteTag(), quad[j]), broadcast_quad(x + 4 * j));
    });
    return sum;
#endif
  }
};

/// 32 values 0..15 of each of `lanes` rows: four quads of bytes, 256 bytes for a group. The low nibbles are
/// k = 0..15, the high ones k = 16..31, as in the blocks of the file: one mask, one shift and mask.
struct NibbleQuads {
  UnsignedByteVector quad[8];

  static HWY_INLINE NibbleQuads load(const std::uint8_t* block, std::size_t part) {
    NibbleQuads out;
    const UnsignedByteVector low = hn::Set(UnsignedByteTag(), 15);
    unroll<4>([&](auto j) TROUPE_LAMBDA {
      const UnsignedByteVector pair = load_quad(block, j, part);
      const auto words = hn::BitCast(hn::RebindToUnsigned<ShortTag>(), pair);
      out.quad[j] = hn::And(pair, low);
      out.quad[4 + j] = hn::And(hn::BitCast(UnsignedByteTag(), hn::ShiftRight<4>(words)), low);
    });
    return out;
  }

#if TROUPE_QUADS_VNNI
  static HWY_INLINE IntVector start(std::int32_t offset) {
    return hn::Set(IntTag(), offset);
  }
#endif

  /// offset + the sum over k of w * x, x[32] in -127..127: with -8 times their sum, w counts from -8.
  HWY_INLINE IntVector dot(const std::int8_t* x, [[maybe_unused]] std::int32_t offset) const {
#if TROUPE_QUADS_PAIRS
    // Eight pairs of products up to 2 * 15 * 127 fit 16 bits: widened once.
    ShortVector sum = multiply_pairs(quad[0], broadcast_quad(x));
    unroll<7>([&](auto j) TROUPE_LAMBDA {
      sum = hn::Add(sum, multiply_pairs(quad[j + 1], broadcast_quad(x + 4 * (j + 1))));
    });
    return hn::Add(widen_pairs(sum), hn::Set(IntTag(), offset));
#else
    IntVector sum = hn::Set(IntTag(), offset);
    unroll<8>([&](auto j) TROUPE_LAMBDA {
#if TROUPE_QUADS_VNNI
      sum = add_dot(sum, quad[j], x + 4 * j);
#else
      sum = add_dot(sum, hn::BitCast(ByteTag(), quad[j]), broadcast_quad(x + 4 * j));
#endif
    });
    return sum;
#endif
  }
};

#endif  // HWY_SCALAR

/// Activation rows that dot_rows takes at a time to advantage.
#if TROUPE_QUADS_VNNI
constexpr std::size_t dot_rows_step = 4;
#else
constexpr std::size_t dot_rows_step = 1;
#endif

/// dots[t] = quads.dot(x + 32 * t, offsets[t]) for N activation rows.
template <std::size_t N, class Quads>
HWY_INLINE void dot_rows(const Quads& quads, const std::int8_t* x, const std::int32_t* offsets,
                         IntVector* dots) {
#if TROUPE_QUADS_VNNI
  // Quad by quad over all rows: a row's eight additions wait for each other (5 cycles each), and in this
  // order the scheduler need not look far ahead for others.
  unroll<N>([&](auto t) TROUPE_LAMBDA { dots[t] = Quads::start(offsets[t]); });
  unroll<8>([&](auto j) TROUPE_LAMBDA {
    unroll<N>([&](auto t) TROUPE_LAMBDA { dots[t] = add_dot(dots[t], quads.quad[j], x + 32 * t + 4 * j); });
  });
#else
  unroll<N>([&](auto t) TROUPE_LAMBDA { dots[t] = quads.dot(x + 32 * t, offsets[t]); });
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
