#pragma once
// Keys and values of all sequences, in pages of 32 positions that hold every layer. A page may be shared by
// sequences with the same beginning. When the last of them lets go, a page whose tokens are known is kept for
// others that begin alike, until its memory is needed.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/attention.hpp"
#include "model/config.hpp"
#include "model/prefix_index.hpp"
#include "model/step_batch.hpp"
#include "troupe/error.hpp"

namespace troupe {

/// Owned by one batcher; not thread-safe. A sequence can be promised pages when it is opened, so that it does
/// not run out midway; beyond that it takes what is available.
class KvCache {
 public:
  /// At most `pages_max` pages; memory is taken when a page is first used.
  KvCache(const ModelConfig& config, KvType type, std::size_t pages_max);

  /// Bytes of one page of such a model.
  static std::size_t page_bytes(const ModelConfig& config, KvType type) noexcept;
  /// Pages for `tokens` positions.
  static std::size_t pages_for(std::size_t tokens) noexcept {
    return (tokens + page_tokens - 1) / page_tokens;
  }

  /// Starts an empty sequence and promises it pages for so many positions. False, and nothing happened, when
  /// the pages are not there. The id must not be open.
  bool open(SequenceId id, std::size_t promised);

  /// Gives an empty sequence the pages that are known to hold the beginning of `tokens`, whole pages and
  /// never all of the tokens, since somebody wants the logits behind the last. Returns how many tokens it has
  /// now.
  std::size_t reuse_prefix(SequenceId id, std::span<const Token> tokens);

  /// Says which tokens the sequence's positions hold, going on where the last call (or reuse_prefix) ended:
  /// from then on others may reuse the pages that they fill. The positions must be stored.
  void remember(SequenceId id, std::span<const Token> tokens);

  /// Lets go of the sequence's pages. Unknown ids are ignored: closing is idempotent.
  void close(SequenceId id);

  bool contains(SequenceId id) const { return sequences_.count(id) != 0; }
  std::size_t length(SequenceId id) const { return at(id).length; }

  /// Makes room for `count` more positions of the sequence and counts them as stored; the caller writes them
  /// before it reads. The pages must be there (checked): promised, or available.
  void append(SequenceId id, std::size_t count);
  /// Pages that `count` more positions of the sequence take of those that are available.
  std::size_t pages_missing(SequenceId id, std::size_t count) const;

  /// Takes back what the sequence holds beyond its first `length` positions; of the pages that this frees
  /// those within its promise stay promised to it. What is remembered cannot be taken back, since others may
  /// read it (checked).
  void truncate(SequenceId id, std::size_t length);

  /// The sequence's pages, in order; valid until the next call that is not const.
  const std::vector<std::byte*>& pages(SequenceId id) const { return at(id).addresses; }

  /// Layer `layer`'s place in a page, with the shape and scale of its heads.
  const AttentionLayer& layer(std::size_t layer) const { return layers_[layer]; }

  std::size_t pages_max() const noexcept { return pages_max_; }
  /// Held by at least one sequence.
  std::size_t pages_used() const noexcept { return used_; }
  /// Held by none, but known, and kept as long as there is room.
  std::size_t pages_kept() const noexcept { return index_.idle_pages(); }
  /// Neither used nor promised.
  std::size_t pages_available() const noexcept { return pages_max_ - used_ - promised_; }

 private:
  struct Page {
    AlignedBuffer<std::byte> memory;
    std::uint32_t sequences = 0;  // that hold it; 0: it is in free_, or idle in index_
  };
  struct Sequence {
    std::vector<std::uint32_t> page_ids;
    std::vector<std::byte*> addresses;  // of page_ids
    std::size_t length = 0;
    std::size_t pages_promised = 0;                 // those that it holds included
    std::vector<Token> tokens;                      // of the first positions, as far as they are known
    PrefixIndex::Serial known = PrefixIndex::root;  // the entry of the last page that `tokens` fills
  };

  const Sequence& at(SequenceId id) const;
  Sequence& at(SequenceId id);
  /// Of the promise, pages that the sequence does not hold yet.
  static std::size_t promised_left(const Sequence& sequence);
  void hold(std::uint32_t page);
  void let_go(std::uint32_t page);
  void reserve_page();
  void take_page(Sequence& sequence);

  std::size_t pages_max_;
  std::size_t page_bytes_;
  std::size_t used_ = 0;      // pages held by at least one sequence
  std::size_t promised_ = 0;  // to open sequences, not yet held by them
  std::vector<AttentionLayer> layers_;
  std::vector<Page> pages_;
  std::vector<std::uint32_t> free_;
  PrefixIndex index_;
  std::unordered_map<SequenceId, Sequence> sequences_;
};

}  // namespace troupe
