// The tile loop for weights in blocks of 32 columns, multiplied as integers with the activations' int8 form.
// Per output, block by block in order: sum += integer dot product * (weight scale * activation scale), one
// rounding of the scales' product and one fused multiply-add.
#if defined(TROUPE_KERNELS_MATMUL_QUANTIZED_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_MATMUL_QUANTIZED_INL
#undef TROUPE_KERNELS_MATMUL_QUANTIZED_INL
#else
#define TROUPE_KERNELS_MATMUL_QUANTIZED_INL
#endif

#include "kernels/quads-inl.hpp"
#include "kernels/tile-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// Block: one packed block of 32 columns of `lanes` rows.
///   packed_bytes                                   of 16 rows
///   static Block load(bytes, part)                 unpacks rows part * lanes ...; once per tile
///   void add<N>(x, x_scales, offsets, sums) const  sums[t] += the product with activation block t < N
template <class Block>
struct QuantizedKernel {
  // 16 sums beside eight weight vectors: registers on AVX3, partly the nearest cache on AVX2.
  static constexpr std::size_t sums_max = 16;
#if HWY_CAP_GE512
  using Tiles = std::index_sequence<16, 8, 4, 2, 1>;
#elif HWY_CAP_GE256
  using Tiles = std::index_sequence<8, 4, 2, 1>;
#elif HWY_TARGET == HWY_SCALAR
  using Tiles = std::index_sequence<1>;
#else
  using Tiles = std::index_sequence<4, 1>;
#endif

  template <std::size_t G, std::size_t T>
  static HWY_NOINLINE void tile(const MatmulOperands& m, std::size_t group, std::size_t row) {
    constexpr std::size_t step = T < dot_rows_step ? T : dot_rows_step;
    const std::size_t blocks = m.cols / 32, rows = m.x->rows();
    const std::byte* w = m.weights + group * m.group_bytes;
    const std::int8_t* x = m.x->q8() + row * 32;
    const float* scales = m.x->scales() + row;
    const std::int32_t* offsets = m.x->offsets() + row;
    FloatVector sums[G][parts][T];
    clear_sums(sums);
    for (std::size_t b = 0; b < blocks; ++b) {
      unroll<G>([&](auto g) TROUPE_LAMBDA {
        const std::byte* packed = w + g * m.group_bytes;
        prefetch<Block::packed_bytes>(packed + 4 * Block::packed_bytes);
        unroll<parts>([&](auto p) TROUPE_LAMBDA {
          const Block block = Block::load(packed, p);
          unroll<T / step>([&](auto s) TROUPE_LAMBDA {
            constexpr std::size_t t = s * step;
            block.template add<step>(x + t * 32, scales + t, offsets + t, sums[g][p] + t);
          });
        });
      });
      w += Block::packed_bytes, x += rows * 32, scales += rows, offsets += rows;
    }
    store_sums(m, group, row, sums);
  }
};

/// Blocks that are 16 f16 scales and then Quads (SignedQuads or NibbleQuads).
template <class Quads, std::size_t quads_bytes>
struct ScaledBlock {
  static constexpr std::size_t packed_bytes = 2 * group_rows + quads_bytes;

  FloatVector scale;
  Quads quads;

  static HWY_INLINE ScaledBlock load(const std::byte* packed, std::size_t part) {
    const auto* scales = reinterpret_cast<const std::uint16_t*>(packed);
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(packed) + 2 * group_rows;
    return {load_f16(FloatTag(), scales + part * lanes), Quads::load(bytes, part)};
  }

  template <std::size_t N>
  HWY_INLINE void add(const std::int8_t* x, const float* x_scales, const std::int32_t* offsets,
                      FloatVector* sums) const {
    const FloatTag d;
    IntVector dots[N];
    dot_rows<N>(quads, x, offsets, dots);
    unroll<N>([&](auto t) TROUPE_LAMBDA {
      sums[t] = hn::MulAdd(hn::ConvertTo(d, dots[t]), hn::Mul(scale, hn::Set(d, x_scales[t])), sums[t]);
    });
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
