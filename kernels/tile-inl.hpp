// What the tile loops of all weight types share: how a range is cut into register tiles, and how results
// leave. A tile is G groups of 16 weight rows by T activation rows; its accumulators are registers where
// they fit. The cut changes no bits: every output has its own lane and its own chain over k.
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

/// Runs Kernel::tile<1, T>(m, group, row) for the widest T that fit, widest first.
template <class Kernel, std::size_t T, std::size_t... Narrower>
HWY_INLINE void sweep_rows(const MatmulOperands& m, std::size_t group, std::size_t row, std::size_t end,
                           std::index_sequence<T, Narrower...>) {
  for (; row + T <= end; row += T) Kernel::template tile<1, T>(m, group, row);
  if constexpr (sizeof...(Narrower) != 0) {
    if (row < end) sweep_rows<Kernel>(m, group, row, end, std::index_sequence<Narrower...>());
  }
}

/// Cuts a range into tiles. With one or two activation rows memory sets the pace: `streams` groups are read
/// at a time, so that several misses are under way.
template <class Kernel>
HWY_INLINE void multiply_range(const MatmulOperands& m, const MatmulRange& r) {
  constexpr std::size_t streams = Kernel::streams;
  std::size_t group = r.group_begin;
  if constexpr (streams > 1) {
    const std::size_t rows = r.row_end - r.row_begin;
    if (rows == 1)
      for (; group + streams <= r.group_end; group += streams)
        Kernel::template tile<streams, 1>(m, group, r.row_begin);
    else if (rows == 2)
      for (; group + streams <= r.group_end; group += streams)
        Kernel::template tile<streams, 2>(m, group, r.row_begin);
  }
  for (; group < r.group_end; ++group)
    sweep_rows<Kernel>(m, group, r.row_begin, r.row_end, typename Kernel::Tiles());
}

/// Asks for the cache lines of [from, from + bytes).
template <std::size_t bytes>
HWY_INLINE void prefetch(const std::byte* from) {
  unroll<(bytes + 63) / 64>([&](auto i) TROUPE_LAMBDA { __builtin_prefetch(from + 64 * i, 0, 3); });
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
