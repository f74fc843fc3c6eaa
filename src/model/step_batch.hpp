#pragma once
// What one forward pass computes: a value built for one step and forgotten after it.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "troupe/tokenizer.hpp"

namespace troupe {

/// Names one sequence of the KV cache; never reused within a run.
using SequenceId = std::uint64_t;

/// One position of one sequence.
struct StepRow {
  SequenceId sequence = 0;
  std::uint32_t position = 0;  ///< rows of a sequence stand together, in order, and continue where it ends
  Token token = 0;
  bool wants_logits = false;
  std::size_t top_count = 0;  ///< of them, how many of the largest are to be listed
};

struct StepBatch {
  std::vector<StepRow> rows;

  /// How many rows want logits: the rows of the result, in the order of the batch.
  std::size_t logits_rows() const {
    std::size_t n = 0;
    for (const StepRow& row : rows) n += row.wants_logits ? 1 : 0;
    return n;
  }
};

}  // namespace troupe
