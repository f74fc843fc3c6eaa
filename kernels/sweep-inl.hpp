// Many activation rows: 256 columns of a few groups are unpacked into the nearest cache, and swept by all
// rows.
#if defined(TROUPE_KERNELS_SWEEP_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_SWEEP_INL
#undef TROUPE_KERNELS_SWEEP_INL
#else
#define TROUPE_KERNELS_SWEEP_INL
#endif

#include <algorithm>

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

/// Rows and groups of which sums are kept at a time.
constexpr std::size_t sweep_rows_max = 256, sweep_groups_max = 4;

/// A strip of a group, ready to be multiplied: for the tile registers as signed bytes, whatever Dot::zero is.
template <class Product>
struct Unpacked {
  HWY_ALIGN std::byte quads[strip][8][quad_bytes];
  HWY_ALIGN float scales[strip][Product::scales][group_rows];
};

/// Of one group.
struct GroupSums {
  HWY_ALIGN float row[sweep_rows_max + activation_rows_behind][group_rows];
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

/// G groups of a strip, the first at w: add<N, ...> of their products with N activation rows. Each quad of
/// activations is loaded once for all of them.
template <class Product, std::size_t G>
struct UnpackedDot {
  static constexpr int zero = Product::Dot::zero;
  static constexpr std::size_t groups = G;
  const Unpacked<Product>* w;
  std::size_t sub_block;

  template <std::size_t N, std::size_t first, std::size_t count>
  HWY_INLINE void add(const std::int8_t* x, IntVector* dots) const {
#if TROUPE_QUADS_VNNI
    unroll<count>([&](auto i) TROUPE_LAMBDA {
      constexpr std::size_t j = first + i;
      Quad quads[G];
      unroll<G>([&](auto g) TROUPE_LAMBDA { quads[g] = load_quad(w[g].quads[sub_block][j], 0); });
      unroll<N>([&](auto t) TROUPE_LAMBDA {
        const ByteVector values = broadcast_quad(x + 32 * t + 4 * j);
        unroll<G>([&](auto g)
                      TROUPE_LAMBDA { dots[g * N + t] = add_dot(dots[g * N + t], quads[g], values); });
      });
    });
#endif
  }
};

/// Where the 16 sums of each activation row and group go.
struct SumsTarget {
  float* first;
  std::size_t row_step, group_step;  // floats
};

/// sums[g][t][16] + the products of G groups with T activation rows, of which the first `wanted` go where
/// they should; the sums are 0 before if `fresh`.
template <class Product, std::size_t G, std::size_t T>
HWY_INLINE void sweep_tile(const Unpacked<Product>* w, std::size_t sub_blocks, const std::int8_t* x,
                           const ActivationTerms* terms, std::size_t rows, const GroupSums* sums,
                           std::size_t row, std::size_t wanted, bool fresh, const SumsTarget& to) {
  const FloatTag d;
  for (std::size_t p = 0; p < parts; ++p) {
    FloatVector totals[G * T];
    unroll<G * T>([&](auto i) TROUPE_LAMBDA {
      totals[i] = fresh ? hn::Zero(d) : hn::Load(d, sums[i / T].row[row + i % T] + p * lanes);
    });
    for (std::size_t s = 0; s < sub_blocks; ++s) {
      FloatVector scales[G * Product::scales];
      unroll<G * Product::scales>([&](auto i) TROUPE_LAMBDA {
        constexpr std::size_t g = i / Product::scales;
        scales[i] = hn::Load(d, w[g].scales[s][i % Product::scales] + p * lanes);
      });
      const std::int8_t* from = x + s * rows * 32;
      if constexpr (G > 1) {
        Product::template add<T>(UnpackedDot<Product, G>{w, s}, scales, from, terms + s * rows, totals);
      } else {
        Quads quads;
        unroll<8>([&](auto j) TROUPE_LAMBDA { quads.quad[j] = load_quad(w->quads[s][j], p); });
        add_rows<Product, T>(typename Product::Dot(quads), scales, from, terms + s * rows, totals);
      }
    }
    float* first = to.first + row * to.row_step + p * lanes;
    unroll<G * T>([&](auto i) TROUPE_LAMBDA {
      if (i % T < wanted) hn::StoreU(totals[i], d, first + i % T * to.row_step + i / T * to.group_step);
    });
  }
}

// With VNNI two groups by four rows: every load serves more than one product, and the sums stay in registers.
#if TROUPE_QUADS_VNNI
constexpr std::size_t sweep_groups = 2, sweep_tile_rows = 4;
#else
constexpr std::size_t sweep_groups = 1;
#endif

/// Memory that is wanted soon, asked for piece by piece while other things are done.
struct Upcoming {
  const std::byte* at;
  std::size_t group_bytes;  // from a group to the next
  std::size_t lines;        // of each of sweep_groups groups
  std::size_t lines_each;   // time

  HWY_INLINE void ask() {
    for (std::size_t i = std::min(lines, lines_each); i != 0; --i, --lines, at += 64)
      unroll<sweep_groups>([&](auto g) TROUPE_LAMBDA {
        __builtin_prefetch(at + g * group_bytes, 0, 2);  // not into the nearest cache, which is in use
      });
  }
};

#if TROUPE_QUADS_VNNI

/// `count` rows, a tile after the other. The last is computed whole, too: of rows behind the last, which can
/// be read, nothing is kept. One function per product, shared by the formats of a file.
template <class Product>
HWY_NOINLINE void sweep(const Unpacked<Product>* w, std::size_t sub_blocks, const std::int8_t* x,
                        const ActivationTerms* terms, std::size_t rows, std::size_t count,
                        const GroupSums* sums, bool fresh, const SumsTarget& to, Upcoming& next) {
  for (std::size_t row = 0; row < count; row += sweep_tile_rows) {
    next.ask();
    sweep_tile<Product, sweep_groups, sweep_tile_rows>(w, sub_blocks, x + row * 32, terms + row, rows, sums,
                                                       row, count - row, fresh, to);
  }
}

#else

/// `count` rows in tiles of T while they fit, then in narrower ones.
template <class Product, std::size_t T, std::size_t... Narrower>
HWY_INLINE void sweep_tiles(const Unpacked<Product>* w, std::size_t sub_blocks, const std::int8_t* x,
                            const ActivationTerms* terms, std::size_t rows, std::size_t count,
                            const GroupSums* sums, bool fresh, const SumsTarget& to, Upcoming& next,
                            std::size_t row, std::index_sequence<T, Narrower...>) {
  // The widest that fits the registers, then 8, 4 and 1.
  if constexpr (T == Product::rows_max || T == 8 || T == 4 || T == 1)
    for (; row + T <= count; row += T) {
      next.ask();
      sweep_tile<Product, 1, T>(w, sub_blocks, x + row * 32, terms + row, rows, sums, row, T, fresh, to);
    }
  if constexpr (sizeof...(Narrower) != 0)
    if (row != count)
      sweep_tiles<Product>(w, sub_blocks, x, terms, rows, count, sums, fresh, to, next, row,
                           std::index_sequence<Narrower...>());
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
HWY_NOINLINE void sweep(const Unpacked<Product>* w, std::size_t sub_blocks, const std::int8_t* x,
                        const ActivationTerms* terms, std::size_t rows, std::size_t count,
                        const GroupSums* sums, bool fresh, const SumsTarget& to, Upcoming& next) {
  sweep_tiles<Product>(w, sub_blocks, x, terms, rows, count, sums, fresh, to, next, 0, SweepTiles());
}

#endif

#if TROUPE_TILES

/// sums[t][16] += the products with T activation rows, with the tile registers, which are set up.
template <class Product, std::size_t T>
HWY_INLINE void sweep_registers(const Unpacked<Product>& w, std::size_t sub_blocks, const std::int8_t* x,
                                const ActivationTerms* terms, std::size_t rows, float* sums, bool fresh) {
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
  unroll<T>([&](auto t)
                TROUPE_LAMBDA { totals[t] = fresh ? hn::Zero(d) : hn::Load(d, sums + t * group_rows); });
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
                                  GroupSums& sums, bool fresh, Upcoming& next) {
  std::size_t t = 0;
  for (; t + 8 < count; t += 16) {
    for (std::size_t i = 0; i < 16 / 4; ++i) next.ask();
    sweep_registers<Product, 16>(w, sub_blocks, x + t * 32, terms + t, rows, sums.row[t], fresh);
  }
  if (t < count) sweep_registers<Product, 8>(w, sub_blocks, x + t * 32, terms + t, rows, sums.row[t], fresh);
}

#endif

/// Activation rows `row` to `row + count` (at most sweep_rows_max) of `groups` groups (at most
/// sweep_groups_max): the activations of a strip are read from the nearest cache by all of them.
template <class Format, bool with_registers>
HWY_NOINLINE void sweep_group_rows(const MatmulOperands& m, std::size_t group, std::size_t groups,
                                   std::size_t row, std::size_t count) {
  using Product = typename Format::Product;
  Unpacked<Product> unpacked[sweep_groups_max];
  GroupSums sums[sweep_groups_max];
  const std::byte* w = m.weights + group * m.group_bytes;
  const std::size_t rows = m.x->rows(), total = m.cols / 32;
#if TROUPE_TILES
  constexpr std::size_t quads = 8 / Product::pieces;
  if constexpr (with_registers) count > 8 ? set_up_tiles<16, quads>() : set_up_tiles<8, quads>();
#endif
  // Sums of the last strip go to the output, unless there are fewer than sweep_groups groups of 16 rows.
  const auto goes_out = [&](std::size_t g) TROUPE_LAMBDA {
    return !with_registers && g + sweep_groups <= groups &&
           (group + g + sweep_groups) * group_rows <= m.out_rows;
  };
  for (std::size_t first = 0; first < total; first += strip, w += bytes_of<Format>(strip)) {
    const std::size_t sub_blocks = std::min(strip, total - first);
    const bool fresh = first == 0;
    const std::int8_t* x = m.x->q8() + (first * rows + row) * 32;
    const ActivationTerms* terms = m.x->terms() + first * rows + row;
    // An odd one out is there twice.
    for (std::size_t g = 0; g < groups || g % sweep_groups != 0; ++g)
      unpack<Format, with_registers>(w + std::min(g, groups - 1) * m.group_bytes, sub_blocks, unpacked[g]);
    for (std::size_t g = 0; g < groups; g += sweep_groups) {
      // Next comes another strip of these groups, or the first of those behind.
      const bool last = first + strip >= total;
      constexpr std::size_t lines = (bytes_of<Format>(strip) + 63) / 64;
      Upcoming next{last ? m.weights + (group + groups + g) * m.group_bytes
                         : w + g * m.group_bytes + bytes_of<Format>(strip),
                    m.group_bytes, lines, lines / (count / 4 + 1) + 1};
#if TROUPE_TILES
      if constexpr (with_registers) {
        for (std::size_t i = g; i < std::min(groups, g + sweep_groups); ++i)
          sweep_registers(unpacked[i], sub_blocks, x, terms, rows, count, sums[i], fresh, next);
        continue;
      }
#endif
      const SumsTarget kept{sums[g].row[0], group_rows, sizeof(GroupSums) / sizeof(float)};
      const SumsTarget out{m.y + row * m.y_stride + (group + g) * group_rows, m.y_stride, group_rows};
      sweep(unpacked + g, sub_blocks, x, terms, rows, count, sums + g, fresh,
            last && goes_out(g) ? out : kept, next);
    }
  }
#if TROUPE_TILES
  if constexpr (with_registers) release_tiles();
#endif
  for (std::size_t g = 0; g < groups; ++g) {
    if (goes_out(g - g % sweep_groups)) continue;
    for (std::size_t t = 0; t < count; ++t) store_outputs(m, group + g, row + t, load16(sums[g].row[t]));
  }
}

template <class Format>
HWY_INLINE void sweep_range(const MatmulOperands& m, const MatmulRange& r) {
#if TROUPE_TILES
  const auto sweep_some = tile_registers() ? sweep_group_rows<Format, true> : sweep_group_rows<Format, false>;
#else
  const auto sweep_some = sweep_group_rows<Format, false>;
#endif
  for (std::size_t row = r.row_begin; row < r.row_end; row += sweep_rows_max)
    for (std::size_t group = r.group_begin; group < r.group_end; group += sweep_groups_max)
      sweep_some(m, group, std::min(sweep_groups_max, r.group_end - group), row,
                 std::min(sweep_rows_max, r.row_end - row));
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
