#pragma once
// What a step makes: logits, and the largest of each row where somebody asked for them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/thread_pool.hpp"
#include "kernels/top_values.hpp"

namespace troupe {

/// One row of logits. `top` are the `top_count` largest, of equal ones those with the lower ids, in id order:
/// fewer where fewer are above -infinity. top_count 0: they were not looked for.
struct LogitsView {
  std::span<const float> all;  // [vocab]
  std::span<const IndexedValue> top = {};
  std::size_t top_count = 0;
};

/// Logits of a step: row-major f32 [rows, vocab].
struct LogitsBlock {
  AlignedBuffer<float> values;
  std::size_t rows = 0;
  std::size_t vocab = 0;
  std::vector<std::vector<IndexedValue>> top;  // [rows, or none]: see LogitsView
  std::vector<std::size_t> top_counts;         // [rows, or none]

  std::span<const float> row(std::size_t i) const { return {values.data() + i * vocab, vocab}; }
  LogitsView view(std::size_t i) const {
    if (i >= top_counts.size()) return {row(i)};
    return {row(i), top[i], top_counts[i]};
  }
};

/// Finds the largest logits of a block's rows, on all threads: what a sampler needs of a row is then some
/// kilobytes less in one thread's way. Holds the scratch memory.
class TopLogits {
 public:
  /// Sets block.top and block.top_counts: of row i the counts[i] largest. Where that is 0, or so many that
  /// one may as well look at the whole row, none. counts: [block.rows].
  void find(std::span<const std::size_t> counts, LogitsBlock& block, ThreadPool& pool);

 private:
  AlignedBuffer<float> maxima_;      // [rows, blocks]
  std::vector<std::size_t> wanted_;  // rows with a count
};

}  // namespace troupe
