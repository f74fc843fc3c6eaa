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

#include "kernels/products-inl.hpp"
#include "kernels/tile-inl.hpp"
#include "kernels/tiles-inl.hpp"
#include "kernels/unpack-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

// ---- 256 columns at a time, or what is left of them.

constexpr std::size_t strip = 8;  // sub-blocks

/// Packed bytes of n sub-blocks.
template <class Format>
constexpr std::size_t bytes_of(std::size_t sub_blocks) {
  return sub_blocks / Format::sub_blocks * Format::packed_bytes;
}

/// The scales of `count` sub-blocks.
template <class Format>
HWY_INLINE void load_scales(const std::byte* packed, std::size_t count, std::size_t part,
                            FloatVector* scales) {
  for (std::size_t s = 0; s < count; s += Format::sub_blocks, packed += Format::packed_bytes)
    Format::scales(packed, part, scales + s * Format::Product::scales);
}

template <class Format>
HWY_INLINE Quads load_quads(const std::byte* packed, std::size_t sub_block, std::size_t part) {
  const std::size_t in_block = sub_block % Format::sub_blocks;
  return Format::quads(packed + bytes_of<Format>(sub_block - in_block), in_block, part);
}

// ---- Few rows.

template <class Format>
struct FewRowsKernel {
  using Product = typename Format::Product;
  // Groups take turns strip by strip: what is asked for from memory has the time of the others to arrive.
  static constexpr std::size_t groups_max = 4, sums_max = 8;
#if HWY_CAP_GE512
  using Tiles = std::index_sequence<8, 4, 2, 1>;
#elif HWY_CAP_GE256
  using Tiles = std::index_sequence<4, 2, 1>;
#else
  using Tiles = std::index_sequence<1>;
#endif

  template <std::size_t G, std::size_t T>
  static HWY_NOINLINE void tile(const MatmulOperands& m, std::size_t group, std::size_t row) {
    const std::size_t total = m.cols / 32, rows = m.x->rows();
    const std::byte* w = m.weights + group * m.group_bytes;
    const std::int8_t* x = m.x->q8() + row * 32;
    const ActivationTerms* terms = m.x->terms() + row;
    FloatVector sums[G][parts][T];
    clear_sums(sums);
    for (std::size_t first = 0; first < total; first += strip) {
      const std::size_t count = std::min(strip, total - first);
      const bool last = first + strip >= total;
      for (std::size_t g = 0; g < G; ++g) {
        // What comes next: of this group, or the beginning of the one whose turn it is in the next tile.
        const std::byte* next = last ? m.weights + (group + G + g) * m.group_bytes
                                     : w + g * m.group_bytes + bytes_of<Format>(strip);
        for (std::size_t p = 0; p < parts; ++p)
          add_strip<T>(w + g * m.group_bytes, count, p, next, x, terms, rows, sums[g][p]);
      }
      w += bytes_of<Format>(strip), x += strip * rows * 32, terms += strip * rows;
    }
    store_sums(m, group, row, sums);
  }

  template <std::size_t T>
  static HWY_INLINE void add_strip(const std::byte* w, std::size_t count, std::size_t part,
                                   const std::byte* next, const std::int8_t* x, const ActivationTerms* terms,
                                   std::size_t rows, FloatVector* sums) {
    FloatVector scales[strip * Product::scales];
    load_scales<Format>(w, count, part, scales);
    FloatVector totals[T];
    unroll<T>([&](auto t) TROUPE_LAMBDA { totals[t] = sums[t]; });
    for (std::size_t s = 0; s < count; ++s) {
      constexpr std::size_t bytes = Format::packed_bytes / Format::sub_blocks;
      if (part == 0) prefetch<bytes>(next + s * bytes);
      const typename Product::Dot dot(load_quads<Format>(w, s, part));
      add_rows<Product, T>(dot, scales + s * Product::scales, x + s * rows * 32, terms + s * rows, totals);
    }
    unroll<T>([&](auto t) TROUPE_LAMBDA { sums[t] = totals[t]; });
  }
};

// ---- Many rows.

/// Rows of which sums are kept at a time.
constexpr std::size_t sweep_rows_max = 64;

/// A strip of a group, ready to be multiplied: for the tile registers as signed bytes, whatever Dot::zero is.
template <class Product>
struct Unpacked {
  HWY_ALIGN std::byte quads[strip][8][quad_bytes];
  HWY_ALIGN float scales[strip][Product::scales][group_rows];
};

template <class Format, bool for_registers>
HWY_INLINE void unpack(const std::byte* packed, std::size_t count, Unpacked<typename Format::Product>& out) {
  using Product = typename Format::Product;
  const Quad zero = set_quad(for_registers ? Product::Dot::zero : 0);
  for (std::size_t p = 0; p < parts; ++p) {
    FloatVector scales[strip * Product::scales];
    load_scales<Format>(packed, count, p, scales);
    for (std::size_t s = 0; s < count; ++s) {
      const Quads quads = load_quads<Format>(packed, s, p);
      unroll<8>([&](auto j) TROUPE_LAMBDA {
        Quad quad = quads.quad[j];
        if constexpr (for_registers && Product::Dot::zero != 0) quad = hn::Sub(quad, zero);
        store_quad(quad, out.quads[s][j], p);
      });
      unroll<Product::scales>([&](auto i) TROUPE_LAMBDA {
        hn::Store(scales[s * Product::scales + i], FloatTag(), out.scales[s][i] + p * lanes);
      });
    }
  }
}

/// sums[t][16] += the products with T activation rows.
template <class Product, std::size_t T>
HWY_INLINE void sweep_tile(const Unpacked<Product>& w, std::size_t sub_blocks, const std::int8_t* x,
                           const ActivationTerms* terms, std::size_t rows, float* sums) {
  const FloatTag d;
  for (std::size_t p = 0; p < parts; ++p) {
    FloatVector totals[T];
    unroll<T>([&](auto t) TROUPE_LAMBDA { totals[t] = hn::Load(d, sums + t * group_rows + p * lanes); });
    for (std::size_t s = 0; s < sub_blocks; ++s) {
      Quads quads;
      unroll<8>([&](auto j) TROUPE_LAMBDA { quads.quad[j] = load_quad(w.quads[s][j], p); });
      FloatVector scales[Product::scales];
      unroll<Product::scales>([&](auto i)
                                  TROUPE_LAMBDA { scales[i] = hn::Load(d, w.scales[s][i] + p * lanes); });
      add_rows<Product, T>(typename Product::Dot(quads), scales, x + s * rows * 32, terms + s * rows, totals);
    }
    unroll<T>([&](auto t) TROUPE_LAMBDA { hn::Store(totals[t], d, sums + t * group_rows + p * lanes); });
  }
}

#if TROUPE_TILES

/// sweep_tile for T rows with the tile registers, which are set up.
template <class Product, std::size_t T>
HWY_INLINE void sweep_registers(const Unpacked<Product>& w, std::size_t sub_blocks, const std::int8_t* x,
                                const ActivationTerms* terms, std::size_t rows, float* sums) {
  const FloatTag d;
  constexpr std::size_t pieces = Product::pieces;
  // A product takes long to be done, but others can begin meanwhile.
  constexpr std::size_t ahead = 3;
  HWY_ALIGN std::int32_t products[ahead + 1][pieces][16][16];
  const auto multiply = [&](std::size_t s) TROUPE_LAMBDA {
    unroll<pieces>([&](auto piece) TROUPE_LAMBDA {
      tile_product(s % 4, x + s * rows * 32 + 32 / pieces * piece, w.quads[s][8 / pieces * piece],
                   products[s % (ahead + 1)][piece][0]);
    });
  };
  FloatVector totals[T];
  unroll<T>([&](auto t) TROUPE_LAMBDA { totals[t] = hn::Load(d, sums + t * group_rows); });
  for (std::size_t s = 0; s < ahead && s < sub_blocks; ++s) multiply(s);
  for (std::size_t s = 0; s < sub_blocks; ++s) {
    if (s + ahead < sub_blocks) multiply(s + ahead);
    FloatVector scales[Product::scales];
    unroll<Product::scales>([&](auto i) TROUPE_LAMBDA { scales[i] = hn::Load(d, w.scales[s][i]); });
    const std::int8_t* from = x + s * rows * 32;
    const ReadyDot dot{products[s % (ahead + 1)][0][0], from};
    add_rows<Product, T>(dot, scales, from, terms + s * rows, totals);
  }
  unroll<T>([&](auto t) TROUPE_LAMBDA { hn::Store(totals[t], d, sums + t * group_rows); });
}

/// `count` rows with the tile registers. Whole tiles are computed, of which rows behind the last mean
/// nothing.
template <class Product>
HWY_NOINLINE void sweep_registers(const Unpacked<Product>& w, std::size_t sub_blocks, const std::int8_t* x,
                                  const ActivationTerms* terms, std::size_t rows, std::size_t count,
                                  float* sums) {
  std::size_t t = 0;
  for (; t + 8 < count; t += 16)
    sweep_registers<Product, 16>(w, sub_blocks, x + t * 32, terms + t, rows, sums + t * group_rows);
  if (t < count)
    sweep_registers<Product, 8>(w, sub_blocks, x + t * 32, terms + t, rows, sums + t * group_rows);
}

#endif

/// The same with `count` rows, in tiles of T while they fit, then in narrower ones.
template <class Product, std::size_t T, std::size_t... Narrower>
HWY_INLINE void sweep_tiles(const Unpacked<Product>& w, std::size_t sub_blocks, const std::int8_t* x,
                            const ActivationTerms* terms, std::size_t rows, std::size_t count, float* sums,
                            std::index_sequence<T, Narrower...>) {
  // The widest, then 8, 4 and 1.
  if constexpr (T == Product::rows_max || T == 8 || T == 4 || T == 1)
    for (; count >= T; count -= T, x += T * 32, terms += T, sums += T * group_rows)
      sweep_tile<Product, T>(w, sub_blocks, x, terms, rows, sums);
  if constexpr (sizeof...(Narrower) != 0)
    if (count != 0)
      sweep_tiles(w, sub_blocks, x, terms, rows, count, sums, std::index_sequence<Narrower...>());
}

#if HWY_CAP_GE512
using SweepTiles = std::index_sequence<16, 12, 8, 4, 1>;
#elif HWY_CAP_GE256
using SweepTiles = std::index_sequence<8, 4, 1>;
#elif HWY_TARGET == HWY_SCALAR
using SweepTiles = std::index_sequence<1>;
#else
using SweepTiles = std::index_sequence<4, 1>;
#endif

/// One function per product, shared by the formats of a file.
template <class Product>
HWY_NOINLINE void sweep(const Unpacked<Product>& w, std::size_t sub_blocks, const std::int8_t* x,
                        const ActivationTerms* terms, std::size_t rows, std::size_t count, float* sums) {
  sweep_tiles(w, sub_blocks, x, terms, rows, count, sums, SweepTiles());
}

/// Activation rows `row` to `row + count` (at most sweep_rows_max) of one group.
template <class Format, bool with_registers>
HWY_NOINLINE void sweep_group(const MatmulOperands& m, std::size_t group, std::size_t row,
                              std::size_t count) {
  using Product = typename Format::Product;
  Unpacked<Product> unpacked;
  HWY_ALIGN float sums[(sweep_rows_max + activation_rows_behind) * group_rows];
  std::memset(sums, 0, count * group_rows * sizeof(float));
  const std::byte* w = m.weights + group * m.group_bytes;
  const std::size_t rows = m.x->rows(), total = m.cols / 32;
#if TROUPE_TILES
  constexpr std::size_t quads = 8 / Product::pieces;
  if constexpr (with_registers) count > 8 ? set_up_tiles<16, quads>() : set_up_tiles<8, quads>();
#endif
  for (std::size_t first = 0; first < total; first += strip, w += bytes_of<Format>(strip)) {
    const std::size_t sub_blocks = std::min(strip, total - first);
    unpack<Format, with_registers>(w, sub_blocks, unpacked);
    const std::int8_t* x = m.x->q8() + (first * rows + row) * 32;
    const ActivationTerms* terms = m.x->terms() + first * rows + row;
#if TROUPE_TILES
    if constexpr (with_registers) {
      sweep_registers(unpacked, sub_blocks, x, terms, rows, count, sums);
      continue;
    }
#endif
    sweep(unpacked, sub_blocks, x, terms, rows, count, sums);
  }
#if TROUPE_TILES
  if constexpr (with_registers) release_tiles();
#endif
  for (std::size_t t = 0; t < count; ++t) store_outputs(m, group, row + t, load16(sums + t * group_rows));
}

template <class Format>
HWY_INLINE void multiply_quantized(const MatmulOperands& m, const MatmulRange& r) {
  constexpr std::size_t few = HWY_CAP_GE512 ? 8 : 4;
  if (r.row_end - r.row_begin <= few) {
    multiply_range<FewRowsKernel<Format>>(m, r);
    return;
  }
#if TROUPE_TILES
  const auto group_function = tile_registers() ? sweep_group<Format, true> : sweep_group<Format, false>;
#else
  const auto group_function = sweep_group<Format, false>;
#endif
  for (std::size_t row = r.row_begin; row < r.row_end; row += sweep_rows_max)
    for (std::size_t group = r.group_begin; group < r.group_end; ++group)
      group_function(m, group, row, std::min(sweep_rows_max, r.row_end - row));
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
