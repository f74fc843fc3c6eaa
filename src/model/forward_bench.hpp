#pragma once
// The forward pass alone against the clock: no actors, no sampling, random tokens.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "kernels/attention.hpp"
#include "kernels/thread_pool.hpp"
#include "troupe/model.hpp"

namespace troupe {

/// What one step of a model costs, counted rather than measured. Attention is left out: it grows with the
/// context.
struct StepCost {
  std::uint64_t layer_bytes = 0;   ///< of packed weights in all layers, read once by a step
  std::uint64_t output_bytes = 0;  ///< of the output matrix, read by a step that wants logits
  std::uint64_t layer_macs = 0;    ///< multiply-adds of one row in all layers
  std::uint64_t output_macs = 0;   ///< of one row of logits
};

StepCost step_cost(const Model& model);

/// Measures with one pool of threads. One owner; not thread-safe; the model must outlive it.
class ForwardBench {
 public:
  /// threads as in EngineOptions; `stop` is asked before every step. Throws std::system_error (no threads)
  /// and std::bad_alloc.
  ForwardBench(const Model& model, unsigned threads, KvType kv_type, std::function<bool()> stop);
  ~ForwardBench();

  ThreadPool& pool() noexcept;

  /// Seconds for a prompt of `tokens` tokens in steps of at most `step_tokens` rows, with logits for the
  /// last; nullopt when it was stopped.
  std::optional<double> prefill(std::size_t tokens, std::size_t step_tokens);

  /// Seconds for `tokens` steps, each of one token of `batch` sequences, with logits for all; every sequence
  /// is `prompt_tokens` long at first, which is not measured; nullopt when it was stopped.
  std::optional<double> decode(std::size_t tokens, std::size_t batch, std::size_t prompt_tokens);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace troupe
