#pragma once
// The heart of BPE: of all neighbours that may merge, those of the lowest rank do, until none are left.

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace troupe {

/// What a part of a word is numbered by while it merges: a token, or a number behind the last token.
using Symbol = std::uint32_t;

/// Pairs of symbols that merge, each with its rank (0 merges first) and what it becomes. Immutable once
/// filled, so safe from any number of threads.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank = 0;
    Symbol joined = 0;
  };

  explicit MergeTable(std::size_t merges_max);

  /// Of equal pairs the first one stays.
  void insert(Symbol left, Symbol right, Merge merge);

  /// Null where the two do not merge.
  const Merge* find(Symbol left, Symbol right) const noexcept;

 private:
  struct Slot {
    std::uint64_t pair;
    Merge merge;
  };

  static std::uint64_t pair_of(Symbol left, Symbol right) noexcept {
    return std::uint64_t{left} << 32 | right;
  }
  std::size_t slot_of(std::uint64_t pair) const noexcept;

  std::vector<Slot>
      slots_;  // a power of two of them, at most three quarters of them full, found by linear probing
  int shift_ = 0;
};

/// Merges one word after another, with buffers that are used again. For one thread.
class WordMerger {
 public:
  explicit WordMerger(const MergeTable& merges) : merges_(merges) {}

  /// Merges `symbols` in place, the pair of the lowest rank first, of equals the leftmost.
  /// Time n log n in the number of symbols.
  void merge(std::vector<Symbol>& symbols);

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFF;

  struct Part {
    Symbol symbol;
    std::uint32_t previous, next;
    MergeTable::Merge with_next;  // of rank `none` where the two do not merge
  };

  // The rank of a part with the next, then the part's position, so that the least merges first. Stale once
  // the part's `with_next` is of another rank.
  using Pair = std::uint64_t;
  static Pair pair_of(std::uint32_t rank, std::uint32_t at) noexcept {
    return std::uint64_t{rank} << 32 | at;
  }

  void merge_short(std::vector<Symbol>& symbols);
  void merge_long(std::vector<Symbol>& symbols);
  void look_up(std::uint32_t at);
  void join(Pair pair);
  void join_early_ones_before(Pair pair);

  const MergeTable& merges_;
  std::vector<MergeTable::Merge> short_pairs_;  // of a short word: each part with the next

  // Of a long word. Pairs wait in lists by rank: such a list is worked through from left to right in memory,
  // which is far faster in words of megabytes than a heap of all pairs.
  std::vector<Part> parts_;
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> waiting_;  // rank → positions
  std::vector<std::uint32_t> ranks_;                                       // of waiting_'s lists; a heap
  // What comes up while a list of the same or a higher rank is worked on; a heap. It stays empty where each
  // merge is listed behind those that make its parts, as training lists them.
  std::vector<Pair> early_;
  std::int64_t current_rank_ = -1;
};

}  // namespace troupe
