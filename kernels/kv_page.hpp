#pragma once
// Where keys and values lie in a page of the KV cache. A page holds `page_tokens` consecutive positions of
// one sequence, for all layers; position p lies in page p / page_tokens, slot p % page_tokens. Of a layer it
// has two parts, kv head by kv head:
//
//   f32, f16   K  [head_dim][page_tokens]          (transposed: scores need no sum across lanes)
//              V  [page_tokens][head_dim]
//   q8_0       K  int8 [2][quads][16][4]           (half a page; four dimensions of its sixteen positions)
//                 f16  [2][blocks][16]             scales: of a position's 32 dimensions
//              V  int8 [page_tokens][head_dim]
//                 f16  [blocks][page_tokens]       scales, alike
//
// with quads = head_dim / 4 and blocks = head_dim / 32, rounded up; dimensions that fill up the last quad are
// zeros. A value is code * scale.

#include <cstddef>
#include <cstdint>

namespace troupe {

enum class KvType : std::uint8_t { f32, f16, q8_0 };

/// Positions in a page. A multiple of every vector length in use, so that scores of a page fill vectors.
inline constexpr std::size_t page_tokens = 32;

/// Dimensions that share a scale in q8_0.
inline constexpr std::size_t kv_block = 32;
constexpr std::size_t kv_blocks(std::size_t head_dim) {
  return (head_dim + kv_block - 1) / kv_block;
}
constexpr std::size_t kv_quads(std::size_t head_dim) {
  return (head_dim + 3) / 4;
}

/// Bytes of one kv head's K (or V) in a page; a multiple of 64.
constexpr std::size_t page_head_bytes(std::size_t head_dim, KvType type) {
  if (type == KvType::q8_0) return (4 * kv_quads(head_dim) + 2 * kv_blocks(head_dim)) * page_tokens;
  return head_dim * page_tokens * (type == KvType::f32 ? 4 : 2);
}

/// Bytes that one layer's K (or V) takes in a page.
constexpr std::size_t page_part_bytes(std::size_t kv_heads, std::size_t head_dim, KvType type) {
  return kv_heads * page_head_bytes(head_dim, type);
}

}  // namespace troupe
