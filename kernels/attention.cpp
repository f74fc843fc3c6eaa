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
/// Query heads whose scores are computed together: eight or so chains of multiply-adds hide their latency.
constexpr std::size_t score_tile = score_vectors <= 2 ? 4 : score_vectors <= 4 ? 2 : 1;

/// scores[i][0..page_tokens) = scale * q[i]·k for N query heads; k: [head_dim][page_tokens]. Slots that hold
/// no position give garbage, in their own lanes only.
template <std::size_t N, class Element>
HWY_INLINE void page_scores(const float* const* q, const Element* k, std::size_t head_dim, float scale,
                            float (*scores)[page_tokens]) {
  const FloatTag d;
  FloatVector sums[N][score_vectors];
  unroll<N * score_vectors>([&](auto i)
                                TROUPE_LAMBDA { sums[i / score_vectors][i % score_vectors] = hn::Zero(d); });
  for (std::size_t dim = 0; dim < head_dim; ++dim, k += page_tokens) {
    unroll<score_vectors>([&](auto v) TROUPE_LAMBDA {
      const FloatVector keys = load_kv(d, k + v * lanes);
      unroll<N>([&](auto i)
                    TROUPE_LAMBDA { sums[i][v] = hn::MulAdd(hn::Set(d, q[i][dim]), keys, sums[i][v]); });
    });
  }
  unroll<N * score_vectors>([&](auto i) TROUPE_LAMBDA {
    constexpr std::size_t head = i / score_vectors, v = i % score_vectors;
    hn::StoreU(hn::Mul(sums[head][v], hn::Set(d, scale)), d, scores[head] + v * lanes);
  });
}

/// out[0..N * lanes of D) = out * factor (or 0 when `fresh`) + the sum over slots begin..end of
/// weights[slot] * v[slot]; v: [page_tokens][head_dim], from its first dimension of interest.
template <std::size_t N, class D, class Element>
HWY_INLINE void add_values(D d, const float* weights, std::size_t begin, std::size_t end, const Element* v,
                           std::size_t head_dim, bool fresh, float factor, float* out) {
  constexpr std::size_t width = hn::MaxLanes(D());
  Vector<D> sums[N];
  unroll<N>([&](auto i) TROUPE_LAMBDA {
    sums[i] = fresh ? hn::Zero(d) : hn::Mul(hn::LoadU(d, out + i * width), hn::Set(d, factor));
  });
  for (std::size_t slot = begin; slot < end; ++slot) {
    const Vector<D> weight = hn::Set(d, weights[slot]);
    const Element* values = v + slot * head_dim;
    unroll<N>([&](auto i)
                  TROUPE_LAMBDA { sums[i] = hn::MulAdd(weight, load_kv(d, values + i * width), sums[i]); });
  }
  unroll<N>([&](auto i) TROUPE_LAMBDA { hn::StoreU(sums[i], d, out + i * width); });
}

/// add_values over all dimensions, in the widest pieces that fit.
template <class Element>
HWY_INLINE void add_page_values(const float* weights, std::size_t begin, std::size_t end, const Element* v,
                                std::size_t head_dim, bool fresh, float factor, float* out) {
  const FloatTag d;
  std::size_t dim = 0;
  for (; dim + 4 * lanes <= head_dim; dim += 4 * lanes)
    add_values<4>(d, weights, begin, end, v + dim, head_dim, fresh, factor, out + dim);
  for (; dim + lanes <= head_dim; dim += lanes)
    add_values<1>(d, weights, begin, end, v + dim, head_dim, fresh, factor, out + dim);
  const hn::CappedTag<float, 4> quarter;
  constexpr std::size_t few = hn::MaxLanes(quarter);
  for (; dim + few <= head_dim; dim += few)
    add_values<1>(quarter, weights, begin, end, v + dim, head_dim, fresh, factor, out + dim);
  const hn::CappedTag<float, 1> single;
  for (; dim < head_dim; ++dim)
    add_values<1>(single, weights, begin, end, v + dim, head_dim, fresh, factor, out + dim);
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

/// Rows of one tile times query heads of one kv head.
constexpr std::size_t tile_queries = 64;

template <class Element>
HWY_INLINE void attend_typed(const AttentionLayer& layer, const AttentionRow* rows, std::size_t count,
                             std::size_t kv_head) {
  static_assert(page_tokens == 32, "a page's scores are two times sixteen floats");
  const std::size_t group = layer.heads / layer.kv_heads, dim = layer.head_dim;
  const std::size_t part = kv_head * dim * page_tokens * sizeof(Element);
  float scores[score_tile][page_tokens];
  // Query heads beyond tile_queries per row (very wide groups) take further rounds over the pages.
  const std::size_t heads_at_once = std::min(group, tile_queries / count);
  for (std::size_t head0 = 0; head0 < group; head0 += heads_at_once) {
    const std::size_t heads = std::min(heads_at_once, group - head0);
    Running running[tile_queries];
    std::size_t first_page = rows[0].first / page_tokens, last_page = rows[0].position / page_tokens;
    for (std::size_t r = 0; r < count; ++r) {
      first_page = std::min(first_page, rows[r].first / page_tokens);
      last_page = std::max(last_page, rows[r].position / page_tokens);
    }
    for (std::size_t i = 0; i < count * heads; ++i) running[i] = {-std::numeric_limits<float>::infinity(), 0};

    for (std::size_t page = first_page; page <= last_page; ++page) {
      const auto* k = reinterpret_cast<const Element*>(rows[0].pages[page] + layer.k_offset + part);
      const auto* v = reinterpret_cast<const Element*>(rows[0].pages[page] + layer.v_offset + part);
      for (std::size_t r = 0; r < count; ++r) {
        const AttentionRow& row = rows[r];
        const std::size_t row_page = row.first / page_tokens;
        if (page < row_page || page > row.position / page_tokens) continue;
        const std::size_t begin = page == row_page ? row.first % page_tokens : 0;
        const std::size_t end = std::min(page_tokens, row.position + 1 - page * page_tokens);
        for (std::size_t h = 0; h < heads;) {
          const std::size_t head = kv_head * group + head0 + h;
          const float* q[score_tile];
          const std::size_t now = heads - h >= score_tile ? score_tile : 1;
          for (std::size_t i = 0; i < now; ++i) q[i] = row.q + (head + i) * dim;
          if (now == score_tile)
            page_scores<score_tile>(q, k, dim, layer.scale, scores);
          else
            page_scores<1>(q, k, dim, layer.scale, scores);
          for (std::size_t i = 0; i < now; ++i) {
            if (layer.softcap != 0) cap_scores(scores[i], layer.softcap);
            const float factor = take_scores(scores[i], begin, end, running[r * heads + h + i]);
            add_page_values(scores[i], begin, end, v, dim, page == row_page, factor,
                            row.out + (head + i) * dim);
          }
          h += now;
        }
      }
    }
    for (std::size_t r = 0; r < count; ++r)
      for (std::size_t h = 0; h < heads; ++h) {
        float* out = rows[r].out + (kv_head * group + head0 + h) * dim;
        const float factor = 1.0f / running[r * heads + h].sum;
        for (std::size_t i = 0; i < dim; ++i) out[i] *= factor;
      }
  }
}

/// The query heads of `kv_head` for `count` (<= tile_queries) rows that share their pages.
void attend(const AttentionLayer& layer, const AttentionRow* rows, std::size_t count, std::size_t kv_head) {
  if (layer.kv_type == KvType::f32)
    attend_typed<float>(layer, rows, count, kv_head);
  else
    attend_typed<std::uint16_t>(layer, rows, count, kv_head);
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

void attention(const AttentionLayer& layer, std::span<const AttentionRow> rows, ThreadPool& pool) {
  TROUPE_CHECK(layer.kv_heads != 0 && layer.heads % layer.kv_heads == 0);
  for (const AttentionRow& row : rows)
    TROUPE_CHECK(row.first <= row.position && row.position / page_tokens < row.pages.size());
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
    pool.parallel_for(tiles * layer.kv_heads, [&](std::size_t index, unsigned) {
      const std::size_t tile = index / layer.kv_heads;
      HWY_DYNAMIC_DISPATCH(attend)(layer, &rows[begins[tile]], counts[tile], index % layer.kv_heads);
    });
  }
}

}  // namespace troupe
#endif
