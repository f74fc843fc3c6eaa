// Integer products with AMX's tile registers, for 16 or 8 activation rows at a time. Quads of 16 rows as they
// lie in memory are what the instruction wants for its second operand; its sums are as exact as those of the
// vectors, so the bits are the same. GCC only: clang knows the instructions only in functions of their own.
//
// Tiles: 0 to 3 take sums [T][16 of int32], 4 and 5 activations [T][32 or 16 bytes], 6 and 7 weights [8 or
// 4][64 bytes].
#if defined(TROUPE_KERNELS_TILES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_TILES_INL
#undef TROUPE_KERNELS_TILES_INL
#else
#define TROUPE_KERNELS_TILES_INL
#endif

#include "kernels/quads-inl.hpp"
#include "kernels/tile_registers.hpp"

#undef TROUPE_TILES
#if TROUPE_QUADS_VNNI && defined(__x86_64__) && !defined(__clang__)
#define TROUPE_TILES 1

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// Sets the tiles up for T activation rows and pieces of `quads` quads, until release_tiles().
template <std::size_t T, std::size_t quads>
HWY_INLINE void set_up_tiles() {
  struct alignas(64) {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {};
    std::uint8_t rows[16] = {};
  } config;
  static_assert(sizeof config == 64);
  for (int tile = 0; tile < 8; ++tile) {
    config.row_bytes[tile] = tile == 4 || tile == 5 ? 4 * quads : 64;
    config.rows[tile] = tile < 6 ? T : quads;
  }
  asm volatile("ldtilecfg %0" : : "m"(config));
}
HWY_INLINE void release_tiles() {
  asm volatile("tilerelease");
}

/// sums[t][row] = the sum over a piece of quads at w, signed bytes, times the activations at x + 32 * t.
/// `turn`, 0 to 3, picks the tiles, so that several products can be under way.
#define TROUPE_TILE_PRODUCT(sums_tile, x_tile, w_tile)                                                       \
  asm volatile("tileloadd (%[x],%[x_stride],1), %%tmm" x_tile "\n\ttileloadd (%[w],%[wide],1), %%tmm" w_tile \
               "\n\ttilezero %%tmm" sums_tile "\n\ttdpbssd %%tmm" w_tile ", %%tmm" x_tile                    \
               ", %%tmm" sums_tile "\n\ttilestored %%tmm" sums_tile ", (%[sums],%[wide],1)"                  \
               :                                                                                             \
               : [x] "r"(x), [x_stride] "r"(x_stride), [w] "r"(w), [wide] "r"(wide), [sums] "r"(sums)        \
               : "memory")
HWY_INLINE void tile_product(std::size_t turn, const std::int8_t* x, const std::byte* w, std::int32_t* sums) {
  constexpr std::ptrdiff_t x_stride = 32, wide = 64;
  switch (turn) {
    case 0: TROUPE_TILE_PRODUCT("0", "4", "6"); break;
    case 1: TROUPE_TILE_PRODUCT("1", "5", "7"); break;
    case 2: TROUPE_TILE_PRODUCT("2", "4", "6"); break;
    default: TROUPE_TILE_PRODUCT("3", "5", "7"); break;
  }
}
#undef TROUPE_TILE_PRODUCT

/// Stands in for Dot where the products are there already.
struct ReadyDot {
  static constexpr int zero = 0;
  static constexpr std::size_t groups = 1;
  const std::int32_t* sums;  // [pieces][16 activation rows][16]
  const std::int8_t* x;      // of the first activation row

  template <std::size_t N, std::size_t first, std::size_t count>
  HWY_INLINE void add(const std::int8_t* from, IntVector* dots) const {
    const std::int32_t* ready = sums + (first / count * 16 + static_cast<std::size_t>(from - x) / 32) * 16;
    unroll<N>([&](auto t) TROUPE_LAMBDA { dots[t] = hn::Add(dots[t], hn::Load(IntTag(), ready + t * 16)); });
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // TROUPE_TILES

#endif  // per-target guard
