#pragma once
// Attention over a paged KV cache. The context is reduced in chunks of eight pages: each has a softmax of its
// own, and chunk after chunk is merged in order, so a query row's bits depend on its own sequence alone, and
// chunks of a long context may be taken by several threads.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/kv_page.hpp"
#include "kernels/thread_pool.hpp"

namespace troupe {

/// The unit of a context's reduction. Longer ones have less to merge, shorter ones stay in nearer caches.
inline constexpr std::size_t chunk_pages = 8;
inline constexpr std::size_t chunk_tokens = chunk_pages * page_tokens;

/// One layer's shape and where its keys and values lie in a page: offsets in bytes, aligned to 64, of what
/// kv_page.hpp draws for each kv head.
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
  /// Rows that go through the context together.
  struct Rows {
    std::size_t begin = 0, count = 0;
    std::size_t first_chunk = 0, chunks = 0;  // that they see
    std::size_t pieces = 1;                   // that the chunks are cut into
    std::size_t parts = 0;                    // where what the chunks give lies, if there are several pieces
  };
  struct Task {
    std::size_t rows = 0, piece = 0;
  };
  std::vector<Rows> rows;
  std::vector<Task> tasks;
  AlignedBuffer<float> floats;  // [threads][what one needs]
  AlignedBuffer<float> parts;   // by Rows::parts
};

/// out = softmax(q Kᵀ · scale, soft-capped where the layer says so) V for every row and head. Rows may belong
/// to different sequences; rows of the same sequence that stand together share the reads of its pages.
void attention(const AttentionLayer& layer, std::span<const AttentionRow> rows, AttentionScratch& scratch,
               ThreadPool& pool);

}  // namespace troupe
