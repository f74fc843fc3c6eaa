#include "kernels/attention.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/attention-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// What attend() needs beside its operands, in floats.
struct Workspace {
  float* keys;    // [chunk_tokens * head_dim]: of a chunk, where each is used more than once
  float* values;  // likewise
  float* scales;  // [chunk_pages][blocks * page_tokens]
  float* packed;  // [queries_max + tile_queries][packed_floats]
  float* scores;  // [tile_queries][chunk_tokens]
  float* sums;    // [tile_queries][head_dim]

  /// Lays it out, without a base only to count; returns the floats that it takes.
  std::size_t place(float* base, std::size_t dim) {
    std::size_t floats = 0;
    const auto take = [&](std::size_t count) {
      float* const start = base != nullptr ? base + floats : nullptr;
      floats += (count + 15) / 16 * 16;
      return start;
    };
    keys = take(chunk_tokens * dim);
    values = take(chunk_tokens * dim);
    scales = take(chunk_tokens * kv_blocks(dim));
    packed = take((queries_max + tile_queries) * packed_floats(dim));
    scores = take(tile_queries * chunk_tokens);
    sums = take(tile_queries * dim);
    return floats;
  }
};
std::size_t workspace_floats(std::size_t head_dim) {
  return Workspace().place(nullptr, head_dim);
}

/// n halves as floats.
HWY_INLINE void from_f16(const std::uint16_t* halves, std::size_t n, float* out) {
  const FloatTag d;
  for (std::size_t i = 0; i < n; i += lanes) hn::Store(load_f16(d, halves + i), d, out + i);
}

/// A page's values as floats: [page_tokens][dim].
HWY_INLINE void from_q8(const QuantizedValues& values, std::size_t dim, float* out) {
  const FloatTag d;
  const hn::CappedTag<float, 1> single;
  for (std::size_t slot = 0; slot < page_tokens; ++slot, out += dim) {
    std::size_t i = 0;
    for (; i + lanes <= dim; i += lanes) hn::StoreU(load_value(d, values, slot, dim, i), d, out + i);
    for (; i < dim; ++i) hn::StoreU(load_value(single, values, slot, dim, i), single, out + i);
  }
}

/// Packs queries as [dim][N], for the code that takes so many; missing ones are zeros.
void pack_tile(KvType type, const float* const* queries, std::size_t count, std::size_t dim, float* out) {
  with_width(count, [&](auto n) TROUPE_LAMBDA {
    if (type == KvType::q8_0) return pack_quantized<n>(queries, count, dim, out);
    for (std::size_t i = 0; i < dim; ++i)
      for (std::size_t j = 0; j < n; ++j) *out++ = j < count ? queries[j][i] : 0.0f;
  });
}

/// The pages of a chunk, one head's part of each.
struct ChunkPages {
  const AttentionLayer& layer;
  std::span<const std::byte* const> pages;  // of the sequence
  std::size_t head_begin;                   // of the head within K and V
  std::size_t first, count;                 // those of the chunk that are seen, and have been stored
  std::size_t after;                        // the page that follows, or one that has been read

  const std::byte* k(std::size_t page) const { return pages[page] + layer.k_offset + head_begin; }
  const std::byte* v(std::size_t page) const { return pages[page] + layer.v_offset + head_begin; }
};

/// body(keys, values) with the keys and values of a chunk's pages, as tiles read them.
template <class Body>
HWY_INLINE void with_chunk(const ChunkPages& chunk, bool used_once, const Workspace& work, Body&& body) {
  const std::size_t dim = chunk.layer.head_dim, page_elements = dim * page_tokens;
  const std::size_t in_chunk = chunk.first % chunk_pages;
  const auto ahead_of = [&](std::size_t page) { return chunk.k(std::min(page + chunk_pages, chunk.after)); };
  PlainKeys<float> keys[chunk_pages] = {};
  PlainValues<float> values[chunk_pages] = {};
  const auto as_floats = [&](std::size_t i) {
    const float *k = work.keys + i * page_elements, *v = work.values + i * page_elements;
    keys[i] = {k, reinterpret_cast<const std::byte*>(k)};
    values[i] = {v, reinterpret_cast<const std::byte*>(v)};
  };
  switch (chunk.layer.kv_type) {
    case KvType::f32:
      for (std::size_t i = in_chunk, page = chunk.first; i < in_chunk + chunk.count; ++i, ++page) {
        keys[i] = {reinterpret_cast<const float*>(chunk.k(page)), chunk.v(page)};
        values[i] = {reinterpret_cast<const float*>(chunk.v(page)), ahead_of(page)};
      }
      return body(keys, values);
    case KvType::f16: {
      PlainKeys<std::uint16_t> half_keys[chunk_pages] = {};
      PlainValues<std::uint16_t> half_values[chunk_pages] = {};
      for (std::size_t i = in_chunk, page = chunk.first; i < in_chunk + chunk.count; ++i, ++page) {
        half_keys[i] = {reinterpret_cast<const std::uint16_t*>(chunk.k(page)), chunk.v(page)};
        half_values[i] = {reinterpret_cast<const std::uint16_t*>(chunk.v(page)), ahead_of(page)};
        if (used_once) continue;
        as_floats(i);
        from_f16(half_keys[i].k, page_elements, work.keys + i * page_elements);
        from_f16(half_values[i].v, page_elements, work.values + i * page_elements);
      }
      if (used_once) return body(half_keys, half_values);
      return body(keys, values);
    }
    case KvType::q8_0: {
      QuantizedKeys quantized_keys[chunk_pages] = {};
      QuantizedValues quantized_values[chunk_pages] = {};
      const std::size_t scales = kv_blocks(dim) * page_tokens;
      for (std::size_t i = in_chunk, page = chunk.first; i < in_chunk + chunk.count; ++i, ++page) {
        const std::byte* v = chunk.v(page);
        quantized_keys[i] = {chunk.k(page), v};
        quantized_values[i] = {reinterpret_cast<const std::int8_t*>(v), work.scales + i * scales,
                               ahead_of(page)};
        from_f16(reinterpret_cast<const std::uint16_t*>(v + page_elements), scales, work.scales + i * scales);
        if (used_once) continue;
        as_floats(i);
        from_q8(quantized_values[i], dim, work.values + i * page_elements);
      }
      if (used_once) return body(quantized_keys, quantized_values);
      return body(quantized_keys, values);
    }
  }
}

HWY_INLINE Slots visible_slots(const AttentionRow& row, std::size_t chunk) {
  const std::size_t start = chunk * chunk_tokens;
  if (row.position < start || row.first >= start + chunk_tokens) return {};
  return {row.first > start ? row.first - start : 0, std::min(chunk_tokens, row.position + 1 - start)};
}

/// out = 1 / running.sum * out.
HWY_INLINE void divide(const Softmax& running, std::size_t dim, float* out) {
  const float factor = 1.0f / running.sum;
  for (std::size_t i = 0; i < dim; ++i) out[i] *= factor;
}

/// Computes a task: outputs, or what its chunks give. scratch: workspace_floats.
void attend(const AttentionTask& task, float* scratch) {
  const AttentionLayer& layer = task.layer;
  const std::size_t dim = layer.head_dim, queries = task.queries();
  const std::size_t packed_tile = tile_queries * packed_floats(dim);
  Workspace work;
  work.place(scratch, dim);
  // What any row sees: every query goes through every chunk, and has its part of it, if an empty one.
  std::size_t first_page = SIZE_MAX, last_page = 0;
  for (const AttentionRow& row : task.rows) {
    first_page = std::min(first_page, row.first / page_tokens);
    last_page = std::max(last_page, row.position / page_tokens);
  }
  // One row that has more queries than queries_max (very wide groups) takes further rounds over the context.
  for (std::size_t begin = 0; begin < queries; begin += queries_max) {
    const std::size_t count = std::min(queries_max, queries - begin);
    const float* q[queries_max];
    float* out[queries_max];
    Softmax running[queries_max];
    for (std::size_t i = 0; i < count; ++i) {
      q[i] = task.q(begin + i), out[i] = task.out(begin + i);
      if (task.parts == nullptr) std::fill_n(out[i], dim, 0.0f);
    }
    for (std::size_t i = 0; i < count; i += tile_queries)
      pack_tile(layer.kv_type, q + i, std::min(tile_queries, count - i), dim,
                work.packed + i / tile_queries * packed_tile);
    for (std::size_t chunk = task.first_chunk; chunk < task.first_chunk + task.chunks; ++chunk) {
      const std::size_t from = std::max(first_page, chunk * chunk_pages);
      const std::size_t to = std::min(last_page + 1, (chunk + 1) * chunk_pages);
      const ChunkPages pages{layer, task.rows[0].pages, task.kv_head * page_head_bytes(dim, layer.kv_type),
                             from,  to - from,          last_page};
      with_chunk(pages, count <= tile_queries, work, [&](const auto* keys, const auto* values) TROUPE_LAMBDA {
        for (std::size_t i = 0; i < count; i += tile_queries) {
          Tile tile;
          tile.count = std::min(tile_queries, count - i);
          tile.dim = dim, tile.scale = layer.scale, tile.softcap = layer.softcap;
          tile.packed = work.packed + i / tile_queries * packed_tile;
          tile.scores = work.scores, tile.sums = work.sums;
          for (std::size_t j = 0; j < tile.count; ++j)
            tile.sees[j] = visible_slots(task.row(begin + i + j), chunk);
          attend_chunk(tile, keys, values);
          if (task.parts == nullptr) {
            merge_chunk(tile.count, dim, tile.softmax, tile.sums, running + i, out + i);
            continue;
          }
          const ChunkPart part(task.parts, chunk - task.first_chunk, queries, dim);
          std::copy_n(tile.softmax, tile.count, part.softmax + begin + i);
          std::copy_n(tile.sums, tile.count * dim, part.sums + (begin + i) * dim);
        }
      });
    }
    if (task.parts != nullptr) continue;
    for (std::size_t i = 0; i < count; ++i) divide(running[i], dim, out[i]);
  }
}

/// Outputs of what tasks of the same rows and kv head have left, as one that did it all would have them.
void merge(const AttentionTask& task) {
  const std::size_t dim = task.layer.head_dim, queries = task.queries();
  for (std::size_t begin = 0; begin < queries; begin += tile_queries) {
    const std::size_t count = std::min(tile_queries, queries - begin);
    Softmax running[tile_queries];
    float* out[tile_queries];
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = task.out(begin + i);
      std::fill_n(out[i], dim, 0.0f);
    }
    for (std::size_t chunk = 0; chunk < task.chunks; ++chunk) {
      const ChunkPart part(task.parts, chunk, queries, dim);
      merge_chunk(count, dim, part.softmax + begin, part.sums + begin * dim, running, out);
    }
    for (std::size_t i = 0; i < count; ++i) divide(running[i], dim, out[i]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(attend);
HWY_EXPORT(merge);
HWY_EXPORT(workspace_floats);

/// Rows that go together at most: they share what is read and converted of a page.
constexpr std::size_t rows_max = 32;
/// Tasks that each thread should find, so that none waits long for another.
constexpr std::size_t tasks_per_thread = 4;
/// Floats that all parts take at most, for each thread. What would need more is not cut; a lone row with 64
/// heads of 128 numbers does from some 129 000 positions times the threads on.
constexpr std::size_t parts_max = std::size_t{4} << 20;

/// Rows that go together, of `total`.
std::size_t rows_together(const AttentionLayer& layer, std::size_t total, unsigned threads) {
  const std::size_t most = std::clamp<std::size_t>(queries_max * layer.kv_heads / layer.heads, 1, rows_max);
  if (threads == 1) return most;
  return std::clamp<std::size_t>(total * layer.kv_heads / (tasks_per_thread * threads), 1, most);
}

/// Fills in scratch.rows. Returns the chunks that all of them see, in sum.
std::size_t gather_rows(std::span<const AttentionRow> rows, std::size_t together, AttentionScratch& scratch) {
  scratch.rows.clear();
  std::size_t chunks = 0;
  for (std::size_t begin = 0; begin < rows.size();) {
    std::size_t first = rows[begin].first, last = rows[begin].position, end = begin + 1;
    for (; end < rows.size() && end - begin < together && rows[end].pages.data() == rows[begin].pages.data();
         ++end) {
      first = std::min(first, rows[end].first);
      last = std::max(last, rows[end].position);
    }
    AttentionScratch::Rows& gathered = scratch.rows.emplace_back();
    gathered.begin = begin, gathered.count = end - begin;
    gathered.first_chunk = first / chunk_tokens;
    gathered.chunks = last / chunk_tokens + 1 - gathered.first_chunk;
    chunks += gathered.chunks;
    begin = end;
  }
  return chunks;
}

/// Fills in scratch.tasks, which `kv_heads` times are all that is to do, and what is cut of scratch.rows.
void plan(const AttentionLayer& layer, std::size_t chunks, unsigned threads, AttentionScratch& scratch) {
  const std::size_t wanted = tasks_per_thread * threads;
  const std::size_t piece = threads == 1 ? chunks : (chunks * layer.kv_heads + wanted - 1) / wanted;
  const std::size_t group = layer.heads / layer.kv_heads;
  std::size_t parts = 0;
  scratch.tasks.clear();
  // The last rows of a prompt see most: they go first.
  for (std::size_t i = scratch.rows.size(); i-- > 0;) {
    AttentionScratch::Rows& rows = scratch.rows[i];
    const std::size_t floats =
        rows.chunks * layer.kv_heads * ChunkPart::floats(rows.count * group, layer.head_dim);
    rows.pieces = (rows.chunks + piece - 1) / piece;
    if (parts + floats > parts_max * threads) rows.pieces = 1;
    if (rows.pieces > 1) {
      rows.parts = parts;
      parts += floats;
    }
    for (std::size_t p = 0; p < rows.pieces; ++p) scratch.tasks.push_back({i, p});
  }
  scratch.parts.resize(parts);
}

}  // namespace

void attention(const AttentionLayer& layer, std::span<const AttentionRow> rows, AttentionScratch& scratch,
               ThreadPool& pool) {
  TROUPE_CHECK(layer.kv_heads != 0 && layer.heads % layer.kv_heads == 0);
  for (const AttentionRow& row : rows)
    TROUPE_CHECK(row.first <= row.position && row.position / page_tokens < row.pages.size());
  const std::size_t floats = HWY_DYNAMIC_DISPATCH(workspace_floats)(layer.head_dim);
  scratch.floats.resize(floats * pool.threads());
  const std::size_t chunks = gather_rows(rows, rows_together(layer, rows.size(), pool.threads()), scratch);
  plan(layer, chunks, pool.threads(), scratch);

  const auto task_of = [&](const AttentionScratch::Rows& r, std::size_t kv_head) {
    AttentionTask task{layer, rows.subspan(r.begin, r.count), kv_head, r.first_chunk, r.chunks, nullptr};
    if (r.pieces > 1)
      task.parts = scratch.parts.data() + r.parts +
                   kv_head * r.chunks * ChunkPart::floats(task.queries(), layer.head_dim);
    return task;
  };
  pool.parallel_for(scratch.tasks.size() * layer.kv_heads, [&](std::size_t index, unsigned worker) {
    const auto [i, piece] = scratch.tasks[index / layer.kv_heads];
    const AttentionScratch::Rows& r = scratch.rows[i];
    AttentionTask task = task_of(r, index % layer.kv_heads);
    const std::size_t begin = r.chunks * piece / r.pieces, end = r.chunks * (piece + 1) / r.pieces;
    task.first_chunk += begin;
    task.chunks = end - begin;
    if (task.parts != nullptr) task.parts += begin * ChunkPart::floats(task.queries(), layer.head_dim);
    HWY_DYNAMIC_DISPATCH(attend)(task, &scratch.floats[floats * worker]);
  });
  if (scratch.parts.size() == 0) return;
  pool.parallel_for(scratch.rows.size() * layer.kv_heads, [&](std::size_t index, unsigned) {
    const AttentionScratch::Rows& r = scratch.rows[index / layer.kv_heads];
    if (r.pieces > 1) HWY_DYNAMIC_DISPATCH(merge)(task_of(r, index % layer.kv_heads));
  });
}

}  // namespace troupe
#endif
