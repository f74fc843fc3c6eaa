#include "tokenizer/bpe_merges.hpp"

#include <algorithm>
#include <bit>
#include <functional>

#include "base/check.hpp"

namespace troupe {
namespace {

constexpr std::uint64_t no_pair = ~std::uint64_t{0};
constexpr std::uint32_t no_rank = 0xFFFFFFFF;

// Up to so many symbols, looking through all pairs for the best beats keeping them in order.
constexpr std::size_t short_word_symbols_max = 100;

}  // namespace

MergeTable::MergeTable(std::size_t merges_max) {
  const std::size_t slots = std::bit_ceil(merges_max / 3 * 4 + 4);
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
  auto& pairs = short_pairs_;
  const auto look_up_pair = [&](std::size_t left) -> MergeTable::Merge {
    const auto* merge = merges_.find(symbols[left], symbols[left + 1]);
    return merge == nullptr ? MergeTable::Merge{none, 0} : *merge;
  };
  pairs.resize(symbols.size() - 1);
  for (std::size_t i = 0; i < pairs.size(); ++i) pairs[i] = look_up_pair(i);
  while (!pairs.empty()) {
    const auto best = std::min_element(pairs.begin(), pairs.end(),
                                       [](const auto& a, const auto& b) { return a.rank < b.rank; });
    if (best->rank == none) return;
    const auto at = best - pairs.begin();
    const auto left = static_cast<std::size_t>(at);
    symbols[left] = best->joined;
    symbols.erase(symbols.begin() + at + 1);
    pairs.erase(best);
    if (left > 0) pairs[left - 1] = look_up_pair(left - 1);
    if (left < pairs.size()) pairs[left] = look_up_pair(left);
  }
}

void WordMerger::merge_long(std::vector<Symbol>& symbols) {
  const auto count = static_cast<std::uint32_t>(symbols.size());
  parts_.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) parts_[i] = {symbols[i], i - 1, i + 1, {none, 0}};
  parts_.front().previous = none;
  parts_.back().next = none;
  current_rank_ = -1;
  for (std::uint32_t i = 0; i < count; ++i) look_up(i);
  while (!ranks_.empty()) {
    std::pop_heap(ranks_.begin(), ranks_.end(), std::greater<>());
    const std::uint32_t rank = ranks_.back();
    ranks_.pop_back();
    current_rank_ = rank;
    const auto list = waiting_.extract(rank);
    auto& positions = list.mapped();
    if (!std::is_sorted(positions.begin(), positions.end())) std::sort(positions.begin(), positions.end());
    for (const std::uint32_t at : positions) {
      join_early_ones_before(pair_of(rank, at));
      join(pair_of(rank, at));
    }
    join_early_ones_before(pair_of(rank + 1, 0));
  }
  symbols.clear();
  for (std::uint32_t i = 0; i != none; i = parts_[i].next) symbols.push_back(parts_[i].symbol);
}

/// What the part at `at` and the next merge into, to be remembered in it and to wait for its turn.
void WordMerger::look_up(std::uint32_t at) {
  Part& part = parts_[at];
  const auto* merge = part.next == none ? nullptr : merges_.find(part.symbol, parts_[part.next].symbol);
  part.with_next = merge == nullptr ? MergeTable::Merge{none, 0} : *merge;
  if (merge == nullptr) return;
  if (merge->rank <= current_rank_) {
    early_.push_back(pair_of(merge->rank, at));
    std::push_heap(early_.begin(), early_.end(), std::greater<>());
    return;
  }
  auto& positions = waiting_[merge->rank];
  if (positions.empty()) {
    ranks_.push_back(merge->rank);
    std::push_heap(ranks_.begin(), ranks_.end(), std::greater<>());
  }
  positions.push_back(at);
}

void WordMerger::join(Pair pair) {
  const auto at = static_cast<std::uint32_t>(pair);
  Part& left = parts_[at];
  if (left.with_next.rank != pair >> 32) return;
  Part& right = parts_[left.next];
  left.symbol = left.with_next.joined;
  left.next = right.next;
  right.with_next.rank = none;
  if (left.next != none) parts_[left.next].previous = at;
  look_up(at);
  if (left.previous != none) look_up(left.previous);
}

void WordMerger::join_early_ones_before(Pair pair) {
  while (!early_.empty() && early_.front() < pair) {
    std::pop_heap(early_.begin(), early_.end(), std::greater<>());
    const Pair early = early_.back();
    early_.pop_back();
    join(early);
  }
}

}  // namespace troupe
