#pragma once
// What attention() tells its kernels, of all targets.

#include <cstddef>
#include <limits>
#include <span>

#include "kernels/attention.hpp"

namespace troupe {

/// Queries that are taken through a chunk at once: rows times query heads of one kv head.
inline constexpr std::size_t queries_max = 128;

/// The query heads of one kv head, for rows that share their pages, over some of the chunks that they see.
struct AttentionTask {
  const AttentionLayer& layer;
  std::span<const AttentionRow> rows;
  std::size_t kv_head = 0;
  std::size_t first_chunk = 0, chunks = 0;
  float* parts =
      nullptr;  ///< null: the rows' outputs are computed; else what chunks give, [chunks][ChunkPart]

  std::size_t queries() const { return layer.heads / layer.kv_heads * rows.size(); }
  const float* q(std::size_t query) const { return row(query).q + offset(query); }
  float* out(std::size_t query) const { return row(query).out + offset(query); }
  /// Queries are row by row.
  const AttentionRow& row(std::size_t query) const { return rows[query / (layer.heads / layer.kv_heads)]; }

 private:
  std::size_t offset(std::size_t query) const {
    const std::size_t group = layer.heads / layer.kv_heads;
    return (kv_head * group + query % group) * layer.head_dim;
  }
};

/// What a softmax remembers: the largest score and the sum of exp(score - largest).
struct Softmax {
  float largest = -std::numeric_limits<float>::infinity();
  float sum = 0;
};

/// A chunk's softmax for each query, and the sums of values weighted by it.
struct ChunkPart {
  Softmax* softmax;  // [queries]
  float* sums;       // [queries][dim]

  static constexpr std::size_t floats(std::size_t queries, std::size_t dim) {
    return queries * (sizeof(Softmax) / sizeof(float) + dim);
  }
  ChunkPart(float* parts, std::size_t chunk, std::size_t queries, std::size_t dim)
      : softmax(reinterpret_cast<Softmax*>(parts + chunk * floats(queries, dim))),
        sums(reinterpret_cast<float*>(softmax + queries)) {}
};

}  // namespace troupe
