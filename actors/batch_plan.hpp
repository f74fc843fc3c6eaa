#pragma once
// Which rows the next step computes. Pure: no actors, no clock.

#include <cstdint>
#include <span>
#include <vector>

#include "model/step_batch.hpp"

namespace troupe {

/// A sequence with tokens that wait for their forward pass.
struct PendingRows {
  SequenceId sequence = 0;
  std::size_t tokens = 0;     ///< that wait; 1 is a decode, more is a prefill
  std::uint64_t arrival = 0;  ///< order in which the asks came
  bool alone = false;         ///< shares no step with others
  std::size_t pages = 0;      ///< of the KV cache that they take, as many as a step can have
};

struct PlannedRows {
  SequenceId sequence = 0;
  std::size_t tokens = 0;  ///< of those that wait, from the front
  std::size_t drafts = 0;  ///< guesses behind them: see draft_plan.hpp
};

/// Those for which there are pages, who came first first; the others have to wait until there are more. Of
/// `pages_available` that leaves what nobody waits for.
std::vector<PendingRows> with_pages(std::vector<PendingRows> pending, std::size_t& pages_available);

/// How many of the sequences are decodes that may share a step.
std::size_t count_decodes(std::span<const PendingRows> pending);

/// The next step: every decode, then prefill chunks in order of arrival until the step has rows_max rows, so
/// that a long prompt never stalls running streams. Sequences that must be alone get steps of their own, one
/// each; `alone_turn` says whose turn it is when there are both kinds. Empty only if `pending` is.
std::vector<PlannedRows> plan_step(std::span<const PendingRows> pending, std::size_t rows_max,
                                   bool alone_turn);

}  // namespace troupe
