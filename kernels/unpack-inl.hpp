// From packed blocks (kernels/packing.hpp) to quads and scales. A Format describes one weight type to the
// tile loop:
//   sub_blocks, packed_bytes    of a packed block
//   Product                     how quads and scales are multiplied (matmul_quantized-inl.hpp)
//   Quads quads(packed, sub_block, part)
//   void scales(packed, part, FloatVector* out)    [sub_blocks][Product::scales]
// all for rows part * lanes .. of the 16.
#if defined(TROUPE_KERNELS_UNPACK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_UNPACK_INL
#undef TROUPE_KERNELS_UNPACK_INL
#else
#define TROUPE_KERNELS_UNPACK_INL
#endif

#include "kernels/quads-inl.hpp"
#include "kernels/weight_kernel.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// The codes of a sub-block of `bits` bits, one per byte.
template <std::size_t bits>
HWY_INLINE Quads unpack_codes(const std::byte* planes, std::size_t part) {
  Quads out;
  if constexpr (bits == 8) {
    unroll<8>([&](auto j) TROUPE_LAMBDA { out.quad[j] = load_quad(planes + j * quad_bytes, part); });
    return out;
  }
  constexpr int low_bits = (bits & 4) != 0 ? 4 : 2;
  if constexpr (low_bits == 4) {
    const Quad mask = set_quad(15);
    unroll<4>([&](auto j) TROUPE_LAMBDA {
      const Quad pair = load_quad(planes + j * quad_bytes, part);
      out.quad[j] = and_mask(pair, mask);
      out.quad[4 + j] = and_mask(shift<4>(pair), mask);
    });
    planes += 4 * quad_bytes;
  }
  if constexpr ((bits & 2) != 0) {
    constexpr int at = low_bits == 4 ? 4 : 0;
    const Quad mask = set_quad(3 << at);
    unroll<2>([&](auto v) TROUPE_LAMBDA {
      const Quad four = load_quad(planes + v * quad_bytes, part);
      unroll<4>([&](auto i) TROUPE_LAMBDA {
        constexpr int from = 2 * i;
        Quad& quad = out.quad[4 * v + i];
        const Quad moved = shift<from - at>(four);
        if constexpr (at == 0)
          quad = and_mask(moved, mask);
        else
          quad = or_masked(quad, moved, mask);
      });
    });
    planes += 2 * quad_bytes;
  }
  if constexpr ((bits & 1) != 0) {
    constexpr int at = static_cast<int>(bits) - 1;
    const Quad mask = set_quad(1 << at), eight = load_quad(planes, part);
    unroll<8>([&](auto j) TROUPE_LAMBDA {
      constexpr int from = j;
      out.quad[j] = or_masked(out.quad[j], shift<from - at>(eight), mask);
    });
  }
  return out;
}

/// Field number `index` of those of two bytes, an f16 of each row.
HWY_INLINE FloatVector load_halves(const std::byte* packed, std::size_t index, std::size_t part) {
  const auto* halves = reinterpret_cast<const std::uint16_t*>(packed);
  return load_f16(FloatTag(), halves + index * group_rows + part * lanes);
}

/// Four bytes of each row, where `bytes` of packed fields lie before.
HWY_INLINE IntVector load_words(const std::byte* packed, std::size_t bytes, std::size_t part) {
  const auto* words = reinterpret_cast<const std::int32_t*>(packed + bytes);
  return hn::LoadU(IntTag(), words + part * lanes);
}

/// Right or, if n is negative, left.
template <int n>
HWY_INLINE IntVector shift_words(IntVector words) {
  if constexpr (n == 0)
    return words;
  else if constexpr (n < 0)
    return hn::ShiftLeft<-n>(words);
  else
    return hn::ShiftRight<n>(words);
}

/// Byte `index` of every word, 0..255.
template <int index>
HWY_INLINE IntVector byte_of(IntVector words) {
  return hn::And(shift_words<8 * index>(words), hn::Set(IntTag(), 255));
}

/// `bits` bits of every byte, from bit `from` on, moved to bit `to`; from >= to.
template <int from, int to, int bits>
HWY_INLINE IntVector bits_of_bytes(IntVector words) {
  constexpr int mask = ((1 << bits) - 1) << to;
  return hn::And(shift_words<from - to>(words),
                 hn::Set(IntTag(), static_cast<std::int32_t>(mask * 0x01010101u)));
}

/// Sub-blocks, bits of a code and bytes of fields per row: the last two make up a file's block.
template <std::size_t sub_blocks_, std::size_t bits, std::size_t field_bytes>
struct PackedFormat {
  static constexpr std::size_t sub_blocks = sub_blocks_;
  static constexpr std::size_t codes_bytes = bits * quad_bytes;
  static constexpr std::size_t codes_begin = field_bytes * group_rows;
  static constexpr std::size_t packed_bytes = codes_begin + sub_blocks * codes_bytes;

  static HWY_INLINE Quads quads(const std::byte* packed, std::size_t sub_block, std::size_t part) {
    return unpack_codes<bits>(packed + codes_begin + sub_block * codes_bytes, part);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
