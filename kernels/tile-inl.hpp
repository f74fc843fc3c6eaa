// What the tile loops of all weight types share: how a range is cut into register tiles, and how results
// leave. A tile is G groups of 16 weight rows by T activation rows; its sums are registers where they fit.
// Kernel has Tiles, the T it offers, widest first; sums_max, vectors of sums a tile may have; groups_max; and
// tile<G, T>(operands, first group, first row). The cut changes no bits: every output has its own lane and
// its own chain over k.
#if defined(TROUPE_KERNELS_TILE_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_TILE_INL
#undef TROUPE_KERNELS_TILE_INL
#else
#define TROUPE_KERNELS_TILE_INL
#endif

#include <algorithm>

#include "kernels/simd-inl.hpp"
#include "kernels/weight_kernel.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// Writes the 16 outputs of `group` for activation row `row`, or those of them that exist.
HWY_INLINE void store_outputs(const MatmulOperands& m, std::size_t group, std::size_t row,
                              const Floats16& values) {
  const std::size_t first = group * group_rows;
  float* to = m.y + row * m.y_stride + first;
  if (first + group_rows <= m.out_rows)
    store16(values, to);
  else
    store_tail(values, to, m.out_rows - first);
}

template <std::size_t G, std::size_t T>
HWY_INLINE void clear_sums(FloatVector (&sums)[G][parts][T]) {
  unroll<G * parts * T>(
      [&](auto i) TROUPE_LAMBDA { sums[i / (parts * T)][i / T % parts][i % T] = hn::Zero(FloatTag()); });
}

template <std::size_t G, std::size_t T>
HWY_INLINE void store_sums(const MatmulOperands& m, std::size_t group, std::size_t row,
                           const FloatVector (&sums)[G][parts][T]) {
  unroll<G * T>([&](auto i) TROUPE_LAMBDA {
    constexpr std::size_t g = i / T, t = i % T;
    store_outputs(m, group + g, row + t, map16([&](auto p) TROUPE_LAMBDA { return sums[g][p][t]; }));
  });
}

/// Rows of the range in tiles of T while they fit, then of the narrower ones. A tile takes as many groups as
/// its sums have room for, up to groups_max.
template <class Kernel, std::size_t T, std::size_t... Narrower>
HWY_INLINE void sweep_rows(const MatmulOperands& m, const MatmulRange& r, std::size_t row,
                           std::index_sequence<T, Narrower...>) {
  constexpr std::size_t room = Kernel::sums_max / (T * parts);
  constexpr std::size_t G = std::clamp<std::size_t>(room, 1, Kernel::groups_max);
  for (; row + T <= r.row_end; row += T) {
    std::size_t group = r.group_begin;
    for (; group + G <= r.group_end; group += G) Kernel::template tile<G, T>(m, group, row);
    if constexpr (G > 1)
      for (; group < r.group_end; ++group) Kernel::template tile<1, T>(m, group, row);
  }
  if constexpr (sizeof...(Narrower) != 0)
    if (row < r.row_end) sweep_rows<Kernel>(m, r, row, std::index_sequence<Narrower...>());
}

template <class Kernel>
HWY_INLINE void multiply_range(const MatmulOperands& m, const MatmulRange& r) {
  sweep_rows<Kernel>(m, r, r.row_begin, typename Kernel::Tiles());
}

/// How far ahead of the products weights are asked for from memory: what arrives while it answers.
constexpr std::size_t ahead_bytes = 8192;

/// Asks for the cache lines of [from, from + bytes).
template <std::size_t bytes>
HWY_INLINE void prefetch(const std::byte* from) {
  unroll<(bytes + 63) / 64>([&](auto i) TROUPE_LAMBDA { __builtin_prefetch(from + 64 * i, 0, 3); });
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
