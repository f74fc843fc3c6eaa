#pragma once
// The heart of BPE: of all neighbours that may merge, those of the lowest rank do, until none are left.

#include <cstddef>
#include <cstdint>
#include <span>
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

  std::vector<Slot> slots_;  // a power of two of them, at most half of them full, found by linear probing
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
    std::uint32_t previous;
    std::uint32_t next;
  };

  // Two neighbours that merge. Stale once either has merged with another.
  struct Pair {
    std::uint64_t order;  // rank, then position of the left one: the least merges first
    Symbol left_symbol, right_symbol, joined;
    std::uint32_t right;

    std::uint32_t left() const { return static_cast<std::uint32_t>(order); }
    bool operator>(const Pair& other) const { return order > other.order; }
  };

  void merge_short(std::vector<Symbol>& symbols);
  void merge_long(std::vector<Symbol>& symbols);
  void try_pair(std::uint32_t left, std::uint32_t right);

  const MergeTable& merges_;
  std::vector<MergeTable::Merge> pairs_;  // of a short word: each part with the next
  std::vector<Part> parts_;
  std::vector<Pair> queue_;  // a heap
};

}  // namespace troupe
