// The tile loops for weights in blocks, multiplied as integers with the activations' int8 form. There are
// two: few activation rows are multiplied with weights as they are unpacked, since memory sets the pace; for
// more, 256 columns of a group are unpacked once into the nearest cache and swept by all rows. Both do the
// same to each output, 32 columns by 32 in order, so that the bits are the same.
#if defined(TROUPE_KERNELS_MATMUL_QUANTIZED_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_MATMUL_QUANTIZED_INL
#undef TROUPE_KERNELS_MATMUL_QUANTIZED_INL
#else
#define TROUPE_KERNELS_MATMUL_QUANTIZED_INL
#endif

#include "kernels/sweep-inl.hpp"
#include "kernels/tile-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

// ---- Few rows.

template <class Format>
struct FewRowsKernel {
  using Product = typename Format::Product;
  // One group after the other, so that memory is read from one end to the other: several streams are in each
  // other's way there.
  static constexpr std::size_t groups_max = 1, sums_max = 8;
#if HWY_CAP_GE512
  using Tiles = std::index_sequence<8, 4, 2, 1>;
#elif HWY_CAP_GE256
  using Tiles = std::index_sequence<4, 2, 1>;
#else
  using Tiles = std::index_sequence<1>;
#endif

  template <std::size_t G, std::size_t T>
  static HWY_NOINLINE void tile(const MatmulOperands& m, std::size_t group, std::size_t row) {
    static_assert(G == 1);
    const std::size_t total = m.cols / 32, rows = m.x->rows();
    const std::byte* w = m.weights + group * m.group_bytes;
    const std::int8_t* x = m.x->q8() + row * 32;
    const ActivationTerms* terms = m.x->terms() + row;
    FloatVector sums[1][parts][T];
    clear_sums(sums);
    for (std::size_t first = 0; first < total; first += strip) {
      const std::size_t count = std::min(strip, total - first);
      for (std::size_t p = 0; p < parts; ++p) add_strip<T>(w, count, p, x, terms, rows, sums[0][p]);
      w += bytes_of<Format>(strip), x += strip * rows * 32, terms += strip * rows;
    }
    store_sums(m, group, row, sums);
  }

  template <std::size_t T>
  static HWY_INLINE void add_strip(const std::byte* w, std::size_t count, std::size_t part,
                                   const std::int8_t* x, const ActivationTerms* terms, std::size_t rows,
                                   FloatVector* sums) {
    FloatVector scales[strip * Product::scales];
    load_scales<Format>(w, count, part, scales);
    FloatVector totals[T];
    unroll<T>([&](auto t) TROUPE_LAMBDA { totals[t] = sums[t]; });
    for (std::size_t s = 0; s < count; ++s) {
      constexpr std::size_t bytes = Format::packed_bytes / Format::sub_blocks;
      if (part == 0) prefetch<bytes>(w + ahead_bytes + s * bytes);
      const typename Product::Dot dot(load_quads<Format>(w, s, part));
      add_rows<Product, T>(dot, scales + s * Product::scales, x + s * rows * 32, terms + s * rows, totals);
    }
    unroll<T>([&](auto t) TROUPE_LAMBDA { sums[t] = totals[t]; });
  }
};

template <class Format>
HWY_INLINE void multiply_quantized(const MatmulOperands& m, const MatmulRange& r) {
  constexpr std::size_t few = HWY_CAP_GE512 ? 8 : 4;
  if (r.row_end - r.row_begin <= few)
    multiply_range<FewRowsKernel<Format>>(m, r);
  else
    sweep_range<Format>(m, r);
}

// ---- Formats whose blocks of 32 have a scale, or a scale and a minimum.

template <std::size_t bits, class Dot>
struct ScaledFormat : PackedFormat<1, bits, 2> {
  using Product = ScaleProduct<Dot>;

  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    out[0] = load_halves(packed, 0, part);
  }
};

template <std::size_t bits, class Dot>
struct ScaledMinFormat : PackedFormat<1, bits, 4> {
  using Product = ScaleMinProduct<Dot>;

  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    out[0] = load_halves(packed, 0, part);
    out[1] = hn::Neg(load_halves(packed, 1, part));
  }
};

/// Q4_K and Q5_K: the f16 d and dmin, then 12 bytes with the scales and minima of eight sub-blocks.
template <std::size_t bits, class Dot>
struct ScaledMinKFormat : PackedFormat<8, bits, 16> {
  using Product = ScaleMinProduct<Dot>;

  static HWY_INLINE void scales(const std::byte* packed, std::size_t part, FloatVector* out) {
    const FloatTag d;
    const IntVector first = load_words(packed, 64, part), second = load_words(packed, 128, part),
                    third = load_words(packed, 192, part);
    const IntVector codes[2][2] = {
        {bits_of_bytes<0, 0, 6>(first), hn::Or(bits_of_bytes<0, 0, 4>(third), bits_of_bytes<6, 4, 2>(first))},
        {bits_of_bytes<0, 0, 6>(second),
         hn::Or(bits_of_bytes<4, 0, 4>(third), bits_of_bytes<6, 4, 2>(second))}};
    unroll<2>([&](auto which) TROUPE_LAMBDA {
      const FloatVector factor = load_halves(packed, which, part);
      unroll<8>([&](auto s) TROUPE_LAMBDA {
        out[2 * s + which] = hn::Mul(factor, hn::ConvertTo(d, byte_of<s % 4>(codes[which][s / 4])));
      });
    });
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
