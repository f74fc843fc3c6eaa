#pragma once
// Whether a batcher's steps end. A thread that hangs can be neither asked nor ended, so the batcher leaves
// word where its router can read it.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "model/step_batch.hpp"

namespace troupe {

/// Shared by one batcher and its router. Thread-safe; costs the batcher two uncontended locks per step.
class StepLease {
 public:
  // ---- the batcher ----

  void begin(std::vector<SequenceId> sequences) {
    const std::lock_guard lock(mutex_);
    ++number_;
    running_ = true;
    sequences_ = std::move(sequences);
  }

  /// False when the router has given up waiting: nobody wants the step's results, nor anything of this
  /// batcher.
  bool end() {
    const std::lock_guard lock(mutex_);
    running_ = false;
    return !given_up_;
  }

  bool given_up() const {
    const std::lock_guard lock(mutex_);
    return given_up_;
  }

  // ---- the router ----

  /// The number of the step that runs; 0 when none does.
  std::uint64_t running() const {
    const std::lock_guard lock(mutex_);
    return running_ ? number_ : 0;
  }

  /// Gives up on step `number`, and on its batcher; the step's sequences. nullopt when the step ended after
  /// all.
  std::optional<std::vector<SequenceId>> give_up(std::uint64_t number) {
    const std::lock_guard lock(mutex_);
    if (!running_ || number_ != number) return std::nullopt;
    given_up_ = true;
    return sequences_;
  }

 private:
  mutable std::mutex mutex_;
  std::uint64_t number_ = 0;
  bool running_ = false;
  bool given_up_ = false;
  std::vector<SequenceId> sequences_;
};

/// Measures for how long the same step has been seen to run. Only time counts in which whoever looks was
/// running too: after the process was stopped and continued, or was starved, a step gets its time anew. Pure.
class StepWatch {
 public:
  using Clock = std::chrono::steady_clock;

  /// `limit` 0: never too long.
  explicit StepWatch(std::chrono::milliseconds limit) : limit_(limit) {}

  /// How often to look, at least.
  static constexpr std::chrono::milliseconds interval{20};

  /// Whether `step` (0: none) has run for too long at `now`.
  bool overdue(std::uint64_t step, Clock::time_point now) {
    const bool same = step != 0 && step == step_;
    seen_ = same ? seen_ + std::min<Clock::duration>(now - last_, 5 * interval) : Clock::duration(0);
    step_ = step;
    last_ = now;
    return same && limit_.count() != 0 && seen_ >= limit_;
  }

 private:
  std::chrono::milliseconds limit_;
  std::uint64_t step_ = 0;
  Clock::duration seen_{};
  Clock::time_point last_{};
};

}  // namespace troupe
