#include "tokenizer/bpe_merges.hpp"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/check.hpp"

namespace troupe {
namespace {

constexpr std::uint64_t no_pair = ~std::uint64_t{0};
constexpr std::uint32_t no_rank = 0xFFFFFFFF;

// Up to so many symbols, looking through all pairs for the best beats a heap.
constexpr std::size_t short_word_symbols_max = 48;

}  // namespace

MergeTable::MergeTable(std::size_t merges_max) {
  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(2 * merges_max, 2));
  slots_.assign(slots, Slot{no_pair, {}});
  shift_ = 64 - std::countr_zero(slots);
}

std::size_t MergeTable::slot_of(std::uint64_t pair) const noexcept {
  // Fibonacci hashing: the product's upper bits depend on all bits of the pair.
  std::size_t slot = ((pair ^ pair >> 29) * 0x9E3779B97F4A7C15U) >> shift_;
  while (slots_[slot].pair != pair && slots_[slot].pair != no_pair) slot = (slot + 1) & (slots_.size() - 1);
  return slot;
}

void MergeTable::insert(Symbol left, Symbol right, Merge merge) {
  const std::uint64_t pair = pair_of(left, right);
  TROUPE_CHECK(pair != no_pair && merge.rank != no_rank);
  Slot& slot = slots_[slot_of(pair)];
  if (slot.pair == no_pair) slot = {pair, merge};
}

const MergeTable::Merge* MergeTable::find(Symbol left, Symbol right) const noexcept {
  const Slot& slot = slots_[slot_of(pair_of(left, right))];
  return slot.pair == no_pair ? nullptr : &slot.merge;
}

void WordMerger::merge(std::vector<Symbol>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= short_word_symbols_max) {
    merge_short(symbols);
  } else {
    merge_long(symbols);
  }
}

void WordMerger::merge_short(std::vector<Symbol>& symbols) {
  const auto look_up = [&](std::size_t left) -> MergeTable::Merge {
    const auto* merge = merges_.find(symbols[left], symbols[left + 1]);
    return merge == nullptr ? MergeTable::Merge{no_rank, 0} : *merge;
  };
  pairs_.resize(symbols.size() - 1);
  for (std::size_t i = 0; i < pairs_.size(); ++i) pairs_[i] = look_up(i);
  while (!pairs_.empty()) {
    const auto best = std::min_element(pairs_.begin(), pairs_.end(),
                                       [](const auto& a, const auto& b) { return a.rank < b.rank; });
    if (best->rank == no_rank) return;
    const auto at = best - pairs_.begin();
    symbols[static_cast<std::size_t>(at)] = best->joined;
    symbols.erase(symbols.begin() + at + 1);
    pairs_.erase(best);
    const auto left = static_cast<std::size_t>(at);
    if (left > 0) pairs_[left - 1] = look_up(left - 1);
    if (left < pairs_.size()) pairs_[left] = look_up(left);
  }
}

void WordMerger::merge_long(std::vector<Symbol>& symbols) {
  const auto count = static_cast<std::uint32_t>(symbols.size());
  parts_.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) parts_[i] = {symbols[i], i - 1, i + 1 < count ? i + 1 : none};
  parts_[0].previous = none;
  for (std::uint32_t right = 1; right < count; ++right) try_pair(right - 1, right);
  while (!queue_.empty()) {
    std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
    const Pair pair = queue_.back();
    queue_.pop_back();
    Part& left = parts_[pair.left()];
    // A part that has grown has another symbol, and one that is gone is not its neighbour's next any more.
    if (left.symbol != pair.left_symbol || left.next != pair.right) continue;
    const Part& right = parts_[pair.right];
    if (right.symbol != pair.right_symbol) continue;
    left.symbol = pair.joined;
    left.next = right.next;
    parts_[pair.right].symbol = none;
    if (left.next != none) parts_[left.next].previous = pair.left();
    try_pair(left.previous, pair.left());
    try_pair(pair.left(), left.next);
  }
  symbols.clear();
  for (std::uint32_t i = 0; i != none; i = parts_[i].next) symbols.push_back(parts_[i].symbol);
}

void WordMerger::try_pair(std::uint32_t left, std::uint32_t right) {
  if (left == none || right == none) return;
  const Symbol left_symbol = parts_[left].symbol;
  const Symbol right_symbol = parts_[right].symbol;
  if (const auto* merge = merges_.find(left_symbol, right_symbol)) {
    queue_.push_back(
        {std::uint64_t{merge->rank} << 32 | left, left_symbol, right_symbol, merge->joined, right});
    std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
  }
}

}  // namespace troupe
