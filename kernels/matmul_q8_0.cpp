// Weights whose codes stand for signed bytes: Q8_0, IQ4_NL and IQ4_XS.

#include <array>

#include "base/weight_blocks.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_q8_0.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

struct Q8_0Format : PackedFormat<1, 8, 2> {
  using Product = ScaleProduct<SignedDot>;

  static HWY_INLINE Quads quads(const std::byte* packed, std::size_t, std::size_t part) {
    Quads out = unpack_codes<8>(packed + codes_begin, part);
    if constexpr (signed_flip != 0) {
      const Quad bits = set_quad(signed_flip);
      unroll<8>([&](auto j) TROUPE_LAMBDA { out.quad[j] = flip(out.quad[j], bits); });
    }
    return out;
  }
  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    out[0] = load_halves(packed, 0, part);
  }
};

/// Codes of four bits, each the place of its value in a table.
HWY_INLINE Quads look_up_codes(const std::byte* planes, std::size_t part) {
  // 128 added to each, which is the same as its highest bit flipped.
  alignas(16) static constexpr auto table = [] {
    std::array<std::int8_t, 16> values{};
    for (std::size_t i = 0; i < 16; ++i)
      values[i] = static_cast<std::int8_t>(blocks::iq4_values[i] ^ static_cast<std::int8_t>(signed_flip));
    return values;
  }();
  Quads out = unpack_codes<4>(planes, part);
  unroll<8>([&](auto j) TROUPE_LAMBDA { out.quad[j] = look_up(table.data(), out.quad[j]); });
  return out;
}

struct Iq4NlFormat : PackedFormat<1, 4, 2> {
  using Product = ScaleProduct<SignedDot>;

  static HWY_INLINE Quads quads(const std::byte* packed, std::size_t, std::size_t part) {
    return look_up_codes(packed + codes_begin, part);
  }
  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    out[0] = load_halves(packed, 0, part);
  }
};

/// Scales of six bits, 32 too large: nibbles, and two bits each of 16.
struct Iq4XsFormat : PackedFormat<8, 4, 8> {
  using Product = ScaleProduct<SignedDot>;

  static HWY_INLINE Quads quads(const std::byte* packed, std::size_t sub_block, std::size_t part) {
    return look_up_codes(packed + codes_begin + sub_block * codes_bytes, part);
  }
  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    const IntTag di;
    const FloatVector d = load_halves(packed, 0, part);
    const auto* halves = reinterpret_cast<const std::uint16_t*>(packed) + group_rows;
    const IntVector high =
        hn::PromoteTo(di, hn::LoadU(hn::Rebind<std::uint16_t, IntTag>(), halves + part * lanes));
    const IntVector low = load_words(packed, 64, part);
    unroll<8>([&](auto s) TROUPE_LAMBDA {
      const IntVector nibble = hn::And(shift_words<4 * s>(low), hn::Set(di, 15));
      const IntVector above = hn::And(hn::ShiftLeft<4>(shift_words<2 * s>(high)), hn::Set(di, 48));
      out[s] = hn::Mul(d, hn::ConvertTo(FloatTag(), hn::Sub(hn::Or(nibble, above), hn::Set(di, 32))));
    });
  }
};
static_assert(Q8_0Format::packed_bytes == group_rows * sizeof(blocks::Q8_0));
static_assert(Iq4NlFormat::packed_bytes == group_rows * sizeof(blocks::Iq4Nl));
static_assert(Iq4XsFormat::packed_bytes == group_rows * sizeof(blocks::Iq4Xs));

void multiply_q8_0(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q8_0Format>(m, r);
}
void multiply_iq4_nl(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Iq4NlFormat>(m, r);
}
void multiply_iq4_xs(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Iq4XsFormat>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_q8_0);
HWY_EXPORT(multiply_iq4_nl);
HWY_EXPORT(multiply_iq4_xs);

}  // namespace

const WeightKernel q8_0_weights =
    quantized_weights<TensorType::q8_0, blocks::Q8_0, 32>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q8_0)
      (m, r);
    });
const WeightKernel iq4_nl_weights = quantized_weights<TensorType::iq4_nl, blocks::Iq4Nl, 32>(
    [](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_iq4_nl)
      (m, r);
    });
const WeightKernel iq4_xs_weights = quantized_weights<TensorType::iq4_xs, blocks::Iq4Xs, 256>(
    [](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_iq4_xs)
      (m, r);
    });

}  // namespace troupe
#endif
