#include "model/logits.hpp"

#include <algorithm>

namespace troupe {

void TopLogits::find(std::span<const std::size_t> counts, LogitsBlock& block, ThreadPool& pool) {
  const std::size_t blocks = maxima_blocks(block.vocab);
  block.top.resize(std::max(block.top.size(), block.rows));  // never fewer: their memory is used again
  block.top_counts.assign(block.rows, 0);
  wanted_.clear();
  for (std::size_t row = 0; row < block.rows; ++row) {
    block.top[row].clear();
    if (counts[row] == 0 || counts[row] > blocks / 2) continue;
    block.top_counts[row] = counts[row];
    block.top[row].reserve(top_values_room(block.vocab, counts[row]));  // the threads must not fail
    wanted_.push_back(row);
  }
  if (wanted_.empty()) return;

  // About a microsecond's worth at a time.
  constexpr std::size_t task_blocks = 16384 / maxima_block;
  const std::size_t tasks = (blocks + task_blocks - 1) / task_blocks;
  maxima_.resize(wanted_.size() * blocks);
  pool.parallel_for(wanted_.size() * tasks, [&](std::size_t task, unsigned) {
    const std::size_t i = task / tasks, first = task % tasks * task_blocks;
    const std::span<const float> row = block.row(wanted_[i]).subspan(first * maxima_block);
    block_maxima(row.first(std::min(row.size(), task_blocks * maxima_block)),
                 maxima_.data() + i * blocks + first);
  });
  pool.parallel_for(wanted_.size(), [&](std::size_t i, unsigned) {
    const std::size_t row = wanted_[i];
    top_values(block.row(row), {maxima_.data() + i * blocks, blocks}, block.top_counts[row], block.top[row]);
  });
}

}  // namespace troupe
