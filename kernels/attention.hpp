#pragma once
// Attention over a paged KV cache. A page holds `page_tokens` consecutive positions of one sequence, for
// all layers; position p lies in page p / page_tokens, slot p % page_tokens. The context is reduced page by
// page, in order, with an online softmax, so a query row's bits depend on its own sequence alone.

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/aligned.hpp"
#include "kernels/thread_pool.hpp"

namespace troupe {

enum class KvType : std::uint8_t { f32, f16 };

/// Bytes of one K or V element.
constexpr std::size_t kv_type_bytes(KvType type) {
  return type == KvType::f32 ? 4 : 2;
}

/// Positions in a page. A multiple of every vector length in use, so that scores of a page fill vectors.
inline constexpr std::size_t page_tokens = 32;

/// One layer's shape and where its keys and values lie in a page:
///   K  at k_offset: [kv_heads][head_dim][page_tokens]   (transposed: scores need no horizontal sum)
///   V  at v_offset: [kv_heads][page_tokens][head_dim]
/// Offsets in bytes from the page's start, aligned to 64.
struct AttentionLayer {
  std::size_t heads = 0;
  std::size_t kv_heads = 0;  ///< divides heads; query head h reads kv head h / (heads / kv_heads)
  std::size_t head_dim = 0;
  float scale = 0;  ///< multiplies q·k, usually 1 / sqrt(head_dim)
  KvType kv_type = KvType::f32;
  std::size_t k_offset = 0;
  std::size_t v_offset = 0;
  float softcap =
      0;  ///< scores become softcap tanh(score / softcap), after `scale`; 0: they stay as they are
};

/// Bytes that one layer's K (or V) takes in a page.
constexpr std::size_t page_part_bytes(std::size_t kv_heads, std::size_t head_dim, KvType type) {
  return (kv_heads * head_dim * page_tokens * kv_type_bytes(type) + 63) / 64 * 64;
}

/// Writes one position's k and v, f32 [kv_heads, head_dim] each, into its slot of its page.
void store_kv(const AttentionLayer& layer, std::byte* page, std::size_t slot, const float* k, const float* v);

/// One query row: a position of a sequence that attends to positions first .. position of its pages.
struct AttentionRow {
  const float* q = nullptr;                 ///< [heads, head_dim]
  float* out = nullptr;                     ///< [heads, head_dim]
  std::span<const std::byte* const> pages;  ///< of its sequence, in order; covers `position`
  std::size_t position = 0;                 ///< its own, already stored
  std::size_t first = 0;                    ///< first visible position (0 without a sliding window)
};

/// Memory that attention() works in; reused from call to call, grows to the largest. One owner; one call at a
/// time.
struct AttentionScratch {
  AlignedBuffer<float> floats;  // [threads][what one needs]
};

/// out = softmax(q Kᵀ · scale, soft-capped where the layer says so) V for every row and head. Rows may belong
/// to different sequences; rows of the same sequence that stand together share the reads of its pages.
void attention(const AttentionLayer& layer, std::span<const AttentionRow> rows, AttentionScratch& scratch,
               ThreadPool& pool);

}  // namespace troupe
