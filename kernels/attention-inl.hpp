// What attention computes with: the scores, weights and weighted sums of a few queries over one chunk of the
// context. A chunk is `chunk_pages` pages from a multiple of that many on.
#if defined(TROUPE_KERNELS_ATTENTION_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_ATTENTION_INL
#undef TROUPE_KERNELS_ATTENTION_INL
#else
#define TROUPE_KERNELS_ATTENTION_INL
#endif

#include <algorithm>
#include <limits>

#include "hwy/cache_control.h"
#include "kernels/attention_q8-inl.hpp"
#include "kernels/attention_task.hpp"
#include "kernels/soft_cap-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// Queries that go over keys and values together, so that those are loaded once for all of them, and the
/// vectors that their sums may take: as many chains of multiply-adds as there are registers for.
#if HWY_CAP_GE512
constexpr std::size_t tile_queries = 8, sum_vectors = 16;
#elif HWY_CAP_GE256
constexpr std::size_t tile_queries = 6, sum_vectors = 12;
#elif HWY_ARCH_ARM_A64
constexpr std::size_t tile_queries = 4, sum_vectors = 16;
#elif HWY_TARGET == HWY_SCALAR
constexpr std::size_t tile_queries = 1, sum_vectors = 16;
#else
constexpr std::size_t tile_queries = 2, sum_vectors = 8;
#endif

/// call(a constant of how many queries there is code for, at least n), for n up to tile_queries.
template <class Call>
HWY_INLINE auto with_width(std::size_t n, Call&& call) {
  if constexpr (tile_queries >= 8)
    if (n > 6) return call(std::integral_constant<std::size_t, 8>());
  if constexpr (tile_queries >= 6)
    if (n > 4) return call(std::integral_constant<std::size_t, 6>());
  if constexpr (tile_queries >= 4) {
    if (n > 3) return call(std::integral_constant<std::size_t, 4>());
    if (n > 2) return call(std::integral_constant<std::size_t, 3>());
  }
  if constexpr (tile_queries >= 2)
    if (n > 1) return call(std::integral_constant<std::size_t, 2>());
  return call(std::integral_constant<std::size_t, 1>());
}

// ---- Keys and values of one head in one page, in each type. `ahead` is what will be read next: each kernel
// fetches as much of it as it reads itself, since no two pages lie in a row where the CPU would see it.

template <class Element>
struct PlainKeys {
  static constexpr bool wide = true;  // a whole page's scores at a time, where registers allow
  const Element* k;                   // [head_dim][page_tokens]
  const std::byte* ahead;
};
template <class Element>
struct PlainValues {
  const Element* v;  // [page_tokens][head_dim]
  const std::byte* ahead;
};

template <class D>
HWY_INLINE Vector<D> load_plain(D d, const float* from) {
  return hn::LoadU(d, from);
}
template <class D>
HWY_INLINE Vector<D> load_plain(D d, const std::uint16_t* from) {
  return load_f16(d, from);
}

/// scores[i][0..16 P) = scale * q[i]·k for N queries and P times 16 positions from `slot` on; q:
/// [head_dim][N]. Slots that hold no position give garbage, in their own lanes only.
template <std::size_t N, std::size_t P, class Element>
HWY_NOINLINE void add_up_scores(const float* q, const PlainKeys<Element>& keys, std::size_t slot,
                                std::size_t head_dim, float scale, float* scores) {
  const FloatTag d;
  constexpr std::size_t V = P * parts;
  const Element* k = keys.k + slot;
  const auto* ahead = reinterpret_cast<const Element*>(keys.ahead) + slot;
  FloatVector sums[N][V];
  unroll<N * V>([&](auto i) TROUPE_LAMBDA { sums[i / V][i % V] = hn::Zero(d); });
  for (std::size_t dim = 0; dim < head_dim; ++dim, k += page_tokens, ahead += page_tokens, q += N) {
    hwy::Prefetch(ahead);
    FloatVector key[V];
    unroll<V>([&](auto v) TROUPE_LAMBDA { key[v] = load_plain(d, k + v * lanes); });
    unroll<N>([&](auto i) TROUPE_LAMBDA {
      const FloatVector query = hn::Set(d, q[i]);
      unroll<V>([&](auto v) TROUPE_LAMBDA { sums[i][v] = hn::MulAdd(query, key[v], sums[i][v]); });
    });
  }
  unroll<N * V>([&](auto i) TROUPE_LAMBDA {
    constexpr std::size_t query = i / V, v = i % V;
    hn::StoreU(hn::Mul(sums[query][v], hn::Set(d, scale)), d, scores + query * chunk_tokens + v * lanes);
  });
}

template <class D, class Element>
HWY_INLINE Vector<D> load_value(D d, const PlainValues<Element>& values, std::size_t slot,
                                std::size_t head_dim, std::size_t dim) {
  return load_plain(d, values.v + slot * head_dim + dim);
}
template <class Element>
HWY_INLINE void fetch_ahead(const PlainValues<Element>& values, std::size_t slot, std::size_t head_dim,
                            std::size_t dim) {
  hwy::Prefetch(reinterpret_cast<const Element*>(values.ahead) + slot * head_dim + dim);
}

// ---- Over the pages of a chunk.

/// The scores of slots begin..end, which are multiples of 16, as many at a time as registers allow.
template <std::size_t N, class Keys>
HWY_INLINE void page_scores(const float* q, const Keys& keys, std::size_t begin, std::size_t end,
                            std::size_t head_dim, float scale, float* scores) {
  if constexpr (Keys::wide && N * 2 * parts <= sum_vectors)
    if (end - begin == page_tokens) return add_up_scores<N, 2>(q, keys, 0, head_dim, scale, scores);
  for (std::size_t slot = begin; slot < end; slot += 16)
    add_up_scores<N, 1>(q, keys, slot, head_dim, scale, scores + slot);
}

/// sums[i][dim..dim + V vectors of D) += the sum over slots begin..end of weights[i][slot] * v[slot], for N
/// queries; slots count from the chunk's first, sums: [N][head_dim], weights: [N][chunk_tokens].
template <std::size_t N, std::size_t V, class D, class Values>
HWY_INLINE void add_up_values(D d, const float* weights, const Values* pages, std::size_t begin,
                              std::size_t end, std::size_t head_dim, std::size_t dim, float* out) {
  constexpr std::size_t width = hn::MaxLanes(D());
  Vector<D> sums[N][V];
  unroll<N * V>([&](auto i) TROUPE_LAMBDA {
    sums[i / V][i % V] = hn::LoadU(d, out + i / V * head_dim + dim + i % V * width);
  });
  while (begin < end) {
    const Values values = pages[begin / page_tokens];
    const std::size_t stop = std::min(end, (begin / page_tokens + 1) * page_tokens);
    for (; begin < stop; ++begin) {
      const std::size_t slot = begin % page_tokens;
      fetch_ahead(values, slot, head_dim, dim);
      Vector<D> value[V];
      unroll<V>([&](auto v)
                    TROUPE_LAMBDA { value[v] = load_value(d, values, slot, head_dim, dim + v * width); });
      unroll<N>([&](auto i) TROUPE_LAMBDA {
        const Vector<D> weight = hn::Set(d, weights[i * chunk_tokens + begin]);
        unroll<V>([&](auto v) TROUPE_LAMBDA { sums[i][v] = hn::MulAdd(weight, value[v], sums[i][v]); });
      });
    }
  }
  unroll<N * V>([&](auto i) TROUPE_LAMBDA {
    constexpr std::size_t query = i / V, v = i % V;
    hn::StoreU(sums[query][v], d, out + query * head_dim + dim + v * width);
  });
}

/// add_up_values over all dimensions, in the widest pieces that fit.
template <std::size_t N, class Values>
HWY_NOINLINE void add_values(const float* weights, const Values* pages, std::size_t begin, std::size_t end,
                             std::size_t head_dim, float* sums) {
  const FloatTag d;
  constexpr std::size_t V = N * 4 <= sum_vectors ? 4 : N * 2 <= sum_vectors ? 2 : 1;
  std::size_t dim = 0;
  for (; dim + V * lanes <= head_dim; dim += V * lanes)
    add_up_values<N, V>(d, weights, pages, begin, end, head_dim, dim, sums);
  for (; dim + lanes <= head_dim; dim += lanes)
    add_up_values<N, 1>(d, weights, pages, begin, end, head_dim, dim, sums);
  const hn::CappedTag<float, 4> quarter;
  constexpr std::size_t few = hn::MaxLanes(quarter);
  for (; dim + few <= head_dim; dim += few)
    add_up_values<N, 1>(quarter, weights, pages, begin, end, head_dim, dim, sums);
  const hn::CappedTag<float, 1> single;
  for (; dim < head_dim; ++dim) add_up_values<N, 1>(single, weights, pages, begin, end, head_dim, dim, sums);
}

// ---- The softmax of a chunk, and of chunks.

/// Slots of a chunk that a query sees.
struct Slots {
  std::size_t begin = 0, end = 0;
  bool empty() const { return begin == end; }
};

/// The vectors of 16 scores that hold what a query sees.
HWY_INLINE Slots whole_vectors(Slots sees) {
  return {sees.begin / 16 * 16, (sees.end + 15) / 16 * 16};
}

/// Caps the scores that the query sees, sets the others in their vectors to minus infinity, and returns the
/// largest.
HWY_INLINE float largest_score(float* scores, Slots sees, float softcap) {
  const auto [begin, end] = whole_vectors(sees);
  if (softcap != 0)
    for (std::size_t i = begin; i < end; i += 16)
      store16(soft_cap16(load16(scores + i), softcap), scores + i);
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  std::fill(scores + begin, scores + sees.begin, lowest);
  std::fill(scores + sees.end, scores + end, lowest);
  Floats16 top = load16(scores + begin);
  for (std::size_t i = begin + 16; i < end; i += 16) top = max(top, load16(scores + i));
  return max16(top);
}

/// Scores become weights exp(score - largest); returns their sum.
HWY_INLINE float to_weights(float* scores, Slots sees, float largest) {
  const auto [begin, end] = whole_vectors(sees);
  const Floats16 minus = set16(-largest);
  Floats16 sum = set16(0);
  for (std::size_t i = begin; i < end; i += 16) {
    const Floats16 weights = exp16(add(load16(scores + i), minus));
    store16(weights, scores + i);
    sum = add(sum, weights);
  }
  return sum16(sum);
}

/// Queries of a tile over a chunk.
struct Tile {
  std::size_t count, dim;  // up to tile_queries
  float scale, softcap;
  const float* packed;  // the queries, as pack_queries() leaves them
  Slots sees[tile_queries];
  Softmax softmax[tile_queries];  // of the chunk
  float* scores;                  // [tile_queries][chunk_tokens]
  float* sums;                    // [tile_queries][dim]: softmax-weighted values, not yet divided
};

/// Fills in softmax and sums of the queries that see something.
template <class Keys, class Values>
HWY_NOINLINE void attend_chunk(Tile& tile, const Keys* keys, const Values* values) {
  Slots any{chunk_tokens, 0}, all{0, chunk_tokens};
  for (std::size_t i = 0; i < tile.count; ++i) {
    if (tile.sees[i].empty()) continue;
    any = {std::min(any.begin, tile.sees[i].begin), std::max(any.end, tile.sees[i].end)};
    all = {std::max(all.begin, tile.sees[i].begin), std::min(all.end, tile.sees[i].end)};
  }
  if (any.begin >= any.end) return;
  with_width(tile.count, [&](auto n) TROUPE_LAMBDA {
    for (std::size_t slot = any.begin / 16 * 16; slot < any.end;) {
      const std::size_t page = slot / page_tokens, first = page * page_tokens;
      const std::size_t end = std::min((any.end + 15) / 16 * 16, first + page_tokens);
      page_scores<n>(tile.packed, keys[page], slot - first, end - first, tile.dim, tile.scale,
                     tile.scores + first);
      slot = end;
    }
  });
  // One loop after the other, so that queries need not wait for each other's sums across lanes.
  for (std::size_t i = 0; i < tile.count; ++i)
    if (!tile.sees[i].empty())
      tile.softmax[i].largest = largest_score(tile.scores + i * chunk_tokens, tile.sees[i], tile.softcap);
  for (std::size_t i = 0; i < tile.count; ++i)
    if (!tile.sees[i].empty())
      tile.softmax[i].sum = to_weights(tile.scores + i * chunk_tokens, tile.sees[i], tile.softmax[i].largest);
  // What all see, for all of them at once, and the ends that only some see, for each; every query takes its
  // slots in order.
  std::fill_n(tile.sums, tile_queries * tile.dim, 0.0f);
  const auto alone = [&](std::size_t i, std::size_t begin, std::size_t end) TROUPE_LAMBDA {
    if (begin < end && !tile.sees[i].empty())
      add_values<1>(tile.scores + i * chunk_tokens, values, begin, end, tile.dim, tile.sums + i * tile.dim);
  };
  const bool together = all.begin < all.end;
  for (std::size_t i = 0; i < tile.count; ++i)
    alone(i, tile.sees[i].begin, together ? all.begin : tile.sees[i].end);
  if (!together) return;
  with_width(tile.count, [&](auto n) TROUPE_LAMBDA {
    add_values<n>(tile.scores, values, all.begin, all.end, tile.dim, tile.sums);
  });
  for (std::size_t i = 0; i < tile.count; ++i) alone(i, all.end, tile.sees[i].end);
}

/// Takes the chunk's sums into what the chunks before it gave: out[i] [dim] and running[i], for count queries
/// up to tile_queries. A query that sees nothing of the chunk has an empty softmax, and is left alone.
HWY_INLINE void merge_chunk(std::size_t count, std::size_t dim, const Softmax* softmax, const float* sums,
                            Softmax* running, float* const* out) {
  static_assert(tile_queries <= 8);
  float factors[16] = {};
  float largest[tile_queries] = {};
  for (std::size_t i = 0; i < count; ++i) {
    largest[i] = std::max(running[i].largest, softmax[i].largest);
    factors[i] = running[i].largest - largest[i];
    factors[8 + i] = softmax[i].largest - largest[i];
  }
  store16(exp16(load16(factors)), factors);
  const FloatTag d;
  const hn::CappedTag<float, 1> single;
  for (std::size_t i = 0; i < count; ++i, sums += dim) {
    if (softmax[i].sum == 0) continue;
    const float before = factors[i], fresh = factors[8 + i];
    running[i] = {largest[i], running[i].sum * before + softmax[i].sum * fresh};
    const auto merge = [&](auto tag, std::size_t j) TROUPE_LAMBDA {
      const auto old = hn::Mul(hn::LoadU(tag, out[i] + j), hn::Set(tag, before));
      hn::StoreU(hn::MulAdd(hn::LoadU(tag, sums + j), hn::Set(tag, fresh), old), tag, out[i] + j);
    };
    std::size_t j = 0;
    for (; j + lanes <= dim; j += lanes) merge(d, j);
    for (; j < dim; ++j) merge(single, j);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
