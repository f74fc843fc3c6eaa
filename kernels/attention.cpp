#include "kernels/attention.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "base/check.hpp"
#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/simd-inl.hpp"
#include "kernels/soft_cap-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

// One load of D's lanes from a page, in either element type.
template <class D>
HWY_INLINE Vector<D> load_kv(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE Vector<D> load_kv(D d, const std::uint16_t* from) {
  return load_f16(d, from);
}

/// Vectors that hold the scores of a page.
constexpr std::size_t score_vectors = page_tokens / lanes;
/// Queries whose scores are computed together, and those whose values are: as many chains of multiply-adds as
/// there are registers for, so that keys and values are loaded once for all of them.
#if HWY_CAP_GE512
constexpr std::size_t score_tile = 8, value_tile = 4;
#elif HWY_CAP_GE256 || HWY_ARCH_ARM_A64
constexpr std::size_t score_tile = 2, value_tile = 2;
#else
constexpr std::size_t score_tile = 1, value_tile = 1;
#endif

/// scores[i][0..page_tokens) = scale * q[i]·k for N queries; q: [head_dim][N], k: [head_dim][page_tokens].
/// Slots that hold no position give garbage, in their own lanes only.
template <std::size_t N, class Element>
HWY_NOINLINE void page_scores(const float* q, const Element* k, std::size_t head_dim, float scale,
                              float (*scores)[page_tokens]) {
  const FloatTag d;
  FloatVector sums[N][score_vectors];
  unroll<N * score_vectors>([&](auto i)
                                TROUPE_LAMBDA { sums[i / score_vectors][i % score_vectors] = hn::Zero(d); });
  for (std::size_t dim = 0; dim < head_dim; ++dim, k += page_tokens, q += N) {
    FloatVector keys[score_vectors];
    unroll<score_vectors>([&](auto v) TROUPE_LAMBDA { keys[v] = load_kv(d, k + v * lanes); });
    unroll<N>([&](auto i) TROUPE_LAMBDA {
      const FloatVector query = hn::Set(d, q[i]);
      unroll<score_vectors>([&](auto v)
                                TROUPE_LAMBDA { sums[i][v] = hn::MulAdd(query, keys[v], sums[i][v]); });
    });
  }
  unroll<N * score_vectors>([&](auto i) TROUPE_LAMBDA {
    constexpr std::size_t query = i / score_vectors, v = i % score_vectors;
    hn::StoreU(hn::Mul(sums[query][v], hn::Set(d, scale)), d, scores[query] + v * lanes);
  });
}

/// What a page adds to the output of one query.
struct ValueSum {
  const float* weights = nullptr;  // [page_tokens]
  float factor = 0;                // for what is there
  float* out = nullptr;            // [head_dim]
};

/// out[dim..dim + N vectors of D) = out * factor + the sum over slots begin..end of weights[slot] * v[slot],
/// for M queries; v: [page_tokens][head_dim].
template <std::size_t M, std::size_t N, class D, class Element>
HWY_INLINE void add_values(D d, const ValueSum* queries, std::size_t begin, std::size_t end, const Element* v,
                           std::size_t head_dim, std::size_t dim) {
  constexpr std::size_t width = hn::MaxLanes(D());
  Vector<D> sums[M][N];
  unroll<M * N>([&](auto i) TROUPE_LAMBDA {
    constexpr std::size_t query = i / N, n = i % N;
    sums[query][n] =
        hn::Mul(hn::LoadU(d, queries[query].out + dim + n * width), hn::Set(d, queries[query].factor));
  });
  const float* weights[M];
  unroll<M>([&](auto i) TROUPE_LAMBDA { weights[i] = queries[i].weights; });
  const Element* from = v + begin * head_dim + dim;
  for (std::size_t slot = begin; slot < end; ++slot, from += head_dim) {
    Vector<D> values[N];
    unroll<N>([&](auto n) TROUPE_LAMBDA { values[n] = load_kv(d, from + n * width); });
    unroll<M>([&](auto i) TROUPE_LAMBDA {
      const Vector<D> weight = hn::Set(d, weights[i][slot]);
      unroll<N>([&](auto n) TROUPE_LAMBDA { sums[i][n] = hn::MulAdd(weight, values[n], sums[i][n]); });
    });
  }
  unroll<M * N>([&](auto i) TROUPE_LAMBDA {
    constexpr std::size_t query = i / N, n = i % N;
    hn::StoreU(sums[query][n], d, queries[query].out + dim + n * width);
  });
}

/// add_values over all dimensions, in the widest pieces that fit.
template <std::size_t M, class Element>
HWY_NOINLINE void add_page_values(const ValueSum* queries, std::size_t begin, std::size_t end,
                                  const Element* v, std::size_t head_dim) {
  const FloatTag d;
  std::size_t dim = 0;
  for (; dim + 4 * lanes <= head_dim; dim += 4 * lanes)
    add_values<M, 4>(d, queries, begin, end, v, head_dim, dim);
  for (; dim + lanes <= head_dim; dim += lanes) add_values<M, 1>(d, queries, begin, end, v, head_dim, dim);
  const hn::CappedTag<float, 4> quarter;
  constexpr std::size_t few = hn::MaxLanes(quarter);
  for (; dim + few <= head_dim; dim += few) add_values<M, 1>(quarter, queries, begin, end, v, head_dim, dim);
  const hn::CappedTag<float, 1> single;
  for (; dim < head_dim; ++dim) add_values<M, 1>(single, queries, begin, end, v, head_dim, dim);
}

HWY_INLINE void cap_scores(float* scores, float cap) {
  store16(soft_cap16(load16(scores), cap), scores);
  store16(soft_cap16(load16(scores + 16), cap), scores + 16);
}

/// Softmax state of one query head.
struct Running {
  float largest;
  float sum;
};

/// Takes one page's scores into the running softmax: scores become weights exp(score - new maximum), 0
/// outside begin..end whatever lies there. Returns the factor for what was summed before.
HWY_INLINE float take_scores(float* scores, std::size_t begin, std::size_t end, Running& running) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  if (begin > 0 || end < page_tokens)
    for (std::size_t slot = 0; slot < page_tokens; ++slot)
      if (slot < begin || slot >= end) scores[slot] = lowest;
  const Floats16 low = load16(scores), high = load16(scores + 16);
  const float largest = std::max(running.largest, max16(max(low, high)));
  const Floats16 minus = set16(-largest);
  const Floats16 low_weights = exp16(add(low, minus)), high_weights = exp16(add(high, minus));
  store16(low_weights, scores);
  store16(high_weights, scores + 16);
  const FloatTag d;
  const float factor = hn::GetLane(exp_vector(hn::Set(d, running.largest - largest)));
  running.sum = running.sum * factor + sum16(add(low_weights, high_weights));
  running.largest = largest;
  return factor;
}

/// Queries of a tile: rows times query heads of one kv head.
constexpr std::size_t tile_queries = 128;

/// n halves as floats in `buffer`.
HWY_INLINE const float* from_f16(const std::uint16_t* halves, std::size_t n, float* buffer) {
  const FloatTag d;
  for (std::size_t i = 0; i < n; i += lanes) hn::Store(load_f16(d, halves + i), d, buffer + i);
  return buffer;
}

/// Packs queries begin..end of `queries` as [dim][N]; missing ones are zeros.
HWY_INLINE void pack_queries(const float* const* queries, std::size_t count, std::size_t n, std::size_t dim,
                             float* out) {
  for (std::size_t i = 0; i < dim; ++i)
    for (std::size_t j = 0; j < n; ++j) *out++ = j < count ? queries[j][i] : 0.0f;
}

/// The widths that tiles of scores come in.
constexpr std::size_t tile_width(std::size_t queries) {
  if (queries >= score_tile) return score_tile;
  std::size_t width = 1;
  while (width < queries) width *= 2;
  return width;
}

template <class Element>
HWY_INLINE void tile_scores(std::size_t width, const float* q, const Element* k, std::size_t head_dim,
                            float scale, float (*scores)[page_tokens]) {
  if (width == score_tile) return page_scores<score_tile>(q, k, head_dim, scale, scores);
  if constexpr (score_tile > 4)
    if (width == 4) return page_scores<4>(q, k, head_dim, scale, scores);
  if constexpr (score_tile > 2)
    if (width == 2) return page_scores<2>(q, k, head_dim, scale, scores);
  page_scores<1>(q, k, head_dim, scale, scores);
}

/// Adds one page's values for `count` (<= value_tile) queries that see the same slots of it.
template <class Element>
HWY_INLINE void tile_values(const ValueSum* queries, std::size_t count, std::size_t begin, std::size_t end,
                            const Element* v, std::size_t head_dim) {
  if (count == value_tile) return add_page_values<value_tile>(queries, begin, end, v, head_dim);
  if constexpr (value_tile > 3)
    if (count == 3) return add_page_values<3>(queries, begin, end, v, head_dim);
  if constexpr (value_tile > 2)
    if (count == 2) return add_page_values<2>(queries, begin, end, v, head_dim);
  add_page_values<1>(queries, begin, end, v, head_dim);
}

/// The slots of a page that a row sees.
struct Slots {
  std::size_t begin = 0, end = 0;
  bool operator==(const Slots& other) const { return begin == other.begin && end == other.end; }
};
HWY_INLINE Slots visible_slots(const AttentionRow& row, std::size_t page) {
  const std::size_t start = page * page_tokens;
  if (row.position < start || row.first >= start + page_tokens) return {};
  return {row.first > start ? row.first - start : 0, std::min(page_tokens, row.position + 1 - start)};
}

/// The queries of a tile: query i is a head of row i / heads.
struct TileQueries {
  const AttentionRow* rows;
  std::size_t heads, count, dim;
  float scale, softcap;
  const float* packed;  // score tile by score tile
  Running running[tile_queries];
  float* out[tile_queries];
};

/// Takes one page in, for all queries that see some of it. k: [dim][page_tokens], v: [page_tokens][dim].
template <class Element>
HWY_INLINE void attend_page(TileQueries& queries, std::size_t page, const Element* k, const Element* v) {
  const std::size_t dim = queries.dim;
  for (std::size_t first = 0; first < queries.count; first += score_tile) {
    const std::size_t in_tile = std::min(score_tile, queries.count - first);
    float scores[score_tile][page_tokens];
    tile_scores(tile_width(in_tile), queries.packed + first * dim, k, dim, queries.scale, scores);
    ValueSum sums[value_tile];
    Slots slots;
    std::size_t pending = 0;
    for (std::size_t i = 0; i < in_tile; ++i) {
      const Slots sees = visible_slots(queries.rows[(first + i) / queries.heads], page);
      if (sees.end == 0) continue;
      if (pending == value_tile || (pending != 0 && !(sees == slots))) {
        tile_values(sums, pending, slots.begin, slots.end, v, dim);
        pending = 0;
      }
      slots = sees;
      if (queries.softcap != 0) cap_scores(scores[i], queries.softcap);
      const float factor = take_scores(scores[i], sees.begin, sees.end, queries.running[first + i]);
      sums[pending++] = {scores[i], factor, queries.out[first + i]};
    }
    if (pending != 0) tile_values(sums, pending, slots.begin, slots.end, v, dim);
  }
}

/// The query heads of `kv_head` for `count` rows that share their pages. scratch: attention_scratch floats.
void attend(const AttentionLayer& layer, const AttentionRow* rows, std::size_t count, std::size_t kv_head,
            float* scratch) {
  static_assert(page_tokens == 32, "a page's scores are two times sixteen floats");
  const std::size_t group = layer.heads / layer.kv_heads, dim = layer.head_dim;
  const std::size_t page_elements = dim * page_tokens;
  const std::size_t part = kv_head * page_elements * kv_type_bytes(layer.kv_type);
  float* const key_buffer = scratch;
  float* const value_buffer = key_buffer + page_elements;
  float* const packed = value_buffer + page_elements;

  std::size_t first_page = rows[0].first / page_tokens, last_page = rows[0].position / page_tokens;
  for (std::size_t r = 0; r < count; ++r) {
    first_page = std::min(first_page, rows[r].first / page_tokens);
    last_page = std::max(last_page, rows[r].position / page_tokens);
  }
  // Query heads beyond tile_queries per row (very wide groups) take further rounds over the pages.
  const std::size_t heads_at_once = std::min(group, tile_queries / count);
  for (std::size_t head0 = 0; head0 < group; head0 += heads_at_once) {
    const std::size_t heads = std::min(heads_at_once, group - head0);
    TileQueries queries;
    queries.rows = rows, queries.heads = heads, queries.count = count * heads, queries.dim = dim;
    queries.scale = layer.scale, queries.softcap = layer.softcap, queries.packed = packed;
    const float* q[tile_queries];
    for (std::size_t i = 0; i < queries.count; ++i) {
      const std::size_t offset = (kv_head * group + head0 + i % heads) * dim;
      q[i] = rows[i / heads].q + offset;
      queries.out[i] = rows[i / heads].out + offset;
      queries.running[i] = {-std::numeric_limits<float>::infinity(), 0};
      std::fill_n(queries.out[i], dim, 0.0f);
    }
    for (std::size_t i = 0; i < queries.count; i += score_tile) {
      const std::size_t in_tile = std::min(score_tile, queries.count - i);
      pack_queries(q + i, in_tile, tile_width(in_tile), dim, packed + i * dim);
    }
    for (std::size_t page = first_page; page <= last_page; ++page) {
      const std::byte* k = rows[0].pages[page] + layer.k_offset + part;
      const std::byte* v = rows[0].pages[page] + layer.v_offset + part;
      if (layer.kv_type == KvType::f32) {
        attend_page(queries, page, reinterpret_cast<const float*>(k), reinterpret_cast<const float*>(v));
        continue;
      }
      const auto* k16 = reinterpret_cast<const std::uint16_t*>(k);
      const auto* v16 = reinterpret_cast<const std::uint16_t*>(v);
      if (queries.count <= value_tile)  // each element is used once
        attend_page(queries, page, k16, v16);
      else
        attend_page(queries, page, from_f16(k16, page_elements, key_buffer),
                    from_f16(v16, page_elements, value_buffer));
    }
    for (std::size_t i = 0; i < queries.count; ++i) {
      const float factor = 1.0f / queries.running[i].sum;
      for (std::size_t j = 0; j < dim; ++j) queries.out[i][j] *= factor;
    }
  }
}

/// Floats that attend() needs beside its operands.
constexpr std::size_t attention_scratch(std::size_t head_dim) {
  return head_dim * (2 * page_tokens + tile_queries + score_tile);
}
std::size_t scratch_floats(std::size_t head_dim) {
  return attention_scratch(head_dim);
}

/// n floats to halves.
void to_f16(const float* from, std::size_t n, std::uint16_t* to) {
  const FloatTag d;
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) store_f16(hn::LoadU(d, from + i), d, to + i);
  for (; i < n; ++i) to[i] = f32_to_f16(from[i]);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(attend);
HWY_EXPORT(scratch_floats);
HWY_EXPORT(to_f16);

// Rows of a tile: a prefill chunk's rows go through a page together while it is in the nearest cache.
constexpr std::size_t tile_rows = 16;

/// How many of `rows` from `begin` on form a tile.
std::size_t tile_length(std::span<const AttentionRow> rows, std::size_t begin) {
  std::size_t end = begin + 1;
  while (end < rows.size() && end - begin < tile_rows && rows[end].pages.data() == rows[begin].pages.data())
    ++end;
  return end - begin;
}

}  // namespace

void store_kv(const AttentionLayer& layer, std::byte* page, std::size_t slot, const float* k,
              const float* v) {
  TROUPE_CHECK(slot < page_tokens);
  const std::size_t dim = layer.head_dim, rows = layer.kv_heads * dim;
  if (layer.kv_type == KvType::f32) {
    auto* keys = reinterpret_cast<float*>(page + layer.k_offset);
    auto* values = reinterpret_cast<float*>(page + layer.v_offset);
    for (std::size_t i = 0; i < rows; ++i) keys[i * page_tokens + slot] = k[i];
    for (std::size_t h = 0; h < layer.kv_heads; ++h)
      std::copy_n(v + h * dim, dim, values + (h * page_tokens + slot) * dim);
    return;
  }
  // Keys are scattered: converted in pieces that fit a small buffer.
  std::array<std::uint16_t, 256> halves;
  auto* keys = reinterpret_cast<std::uint16_t*>(page + layer.k_offset);
  auto* values = reinterpret_cast<std::uint16_t*>(page + layer.v_offset);
  for (std::size_t i = 0; i < rows; i += halves.size()) {
    const std::size_t n = std::min(halves.size(), rows - i);
    HWY_DYNAMIC_DISPATCH(to_f16)(k + i, n, halves.data());
    for (std::size_t j = 0; j < n; ++j) keys[(i + j) * page_tokens + slot] = halves[j];
  }
  for (std::size_t h = 0; h < layer.kv_heads; ++h)
    HWY_DYNAMIC_DISPATCH(to_f16)(v + h * dim, dim, values + (h * page_tokens + slot) * dim);
}

void attention(const AttentionLayer& layer, std::span<const AttentionRow> rows, AttentionScratch& scratch,
               ThreadPool& pool) {
  TROUPE_CHECK(layer.kv_heads != 0 && layer.heads % layer.kv_heads == 0);
  for (const AttentionRow& row : rows)
    TROUPE_CHECK(row.first <= row.position && row.position / page_tokens < row.pages.size());
  const std::size_t floats = (HWY_DYNAMIC_DISPATCH(scratch_floats)(layer.head_dim) + 15) / 16 * 16;
  scratch.floats.resize(floats * pool.threads());
  // Tiles are handed out in runs of a fixed number, so that no list of them has to be kept.
  constexpr std::size_t tiles_max = 256;
  std::array<std::uint32_t, tiles_max> begins, counts;
  for (std::size_t row = 0; row < rows.size();) {
    std::size_t tiles = 0;
    for (; row < rows.size() && tiles < tiles_max; ++tiles) {
      begins[tiles] = static_cast<std::uint32_t>(row);
      counts[tiles] = static_cast<std::uint32_t>(tile_length(rows, row));
      row += counts[tiles];
    }
    pool.parallel_for(tiles * layer.kv_heads, [&](std::size_t index, unsigned worker) {
      const std::size_t tile = index / layer.kv_heads;
      HWY_DYNAMIC_DISPATCH(attend)
      (layer, &rows[begins[tile]], counts[tile], index % layer.kv_heads, &scratch.floats[floats * worker]);
    });
  }
}

}  // namespace troupe
#endif
