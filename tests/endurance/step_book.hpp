#pragma once
// Between the batchers and the real model: which steps are to fail, which request a sequence belongs to, and
// whether the model says the same of the same tokens each time.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/stepper.hpp"

namespace troupe::test {

/// Requests have numbers, from 1. Their prompts begin with it, so that steps can be told apart by what is in
/// them.
inline constexpr std::size_t number_tokens = 3;
std::vector<Token> spell_number(std::uint64_t number);

/// Shared by all steppers of a run and its test. Thread-safe.
class StepBook {
 public:
  using Clock = std::chrono::steady_clock;

  // ---- the test ----

  /// Forgets the sequences, which another run will name anew, and keeps the logits.
  void begin_run();
  /// One of the next steps with several sequences in it fails, before it computes or behind that.
  void fail_a_step(bool behind);
  /// When that happened; once for each.
  std::optional<Clock::time_point> take_failure();
  /// From now on the steps count that begin before the request's sequence is closed.
  void count_steps_of(std::uint64_t number);
  /// Those counts, by step: [0] for sequences that were closed before a further step had begun.
  std::vector<std::size_t> step_counts() const;
  /// Rows of logits that were computed for tokens that had had theirs before, with the same bits: a
  /// difference is a violation().
  std::uint64_t rows_compared() const;
  std::uint64_t steps() const;

  // ---- the steppers ----

  void begins(SequenceId id, std::span<const Token> tokens);
  enum class Fate : std::uint8_t { runs, fails_before, fails_behind };
  Fate step(const StepBatch& batch);
  void computed(const StepBatch& batch, const LogitsBlock& logits);
  void closed(SequenceId id);

 private:
  struct Text {
    std::uint64_t number = 0;
    std::vector<Token> tokens;
  };
  using RowKey = std::pair<std::uint64_t, std::uint64_t>;  // the request, and a hash of the tokens so far

  mutable std::mutex mutex_;
  std::unordered_map<SequenceId, Text> texts_;  // of the open sequences, once they began
  std::map<RowKey, std::vector<float>> rows_;   // of one request in kept_of
  std::uint64_t rows_compared_ = 0;
  std::uint64_t steps_ = 0;
  std::optional<Fate> armed_;
  std::optional<Clock::time_point> failed_;
  std::unordered_map<std::uint64_t, std::uint64_t> counted_from_;  // request → steps_
  std::vector<std::size_t> step_counts_;
};

/// Puts the book between a batcher and `real`.
std::unique_ptr<Stepper> watched(std::unique_ptr<Stepper> real, std::shared_ptr<StepBook> book);

}  // namespace troupe::test
