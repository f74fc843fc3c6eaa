#pragma once
// Numbers that the actors keep and anybody may read while they run: relaxed atomics, no locks.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "troupe/error.hpp"
#include "troupe/generation.hpp"
#include "troupe/metrics.hpp"

namespace troupe {

using Counter = std::atomic<std::uint64_t>;

constexpr std::size_t errc_count = static_cast<std::size_t>(Errc::reader_stalled) + 1;
constexpr std::size_t finish_reason_count = static_cast<std::size_t>(FinishReason::deadline) + 1;

inline void bump(Counter& counter, std::uint64_t by = 1) noexcept {
  counter.fetch_add(by, std::memory_order_relaxed);
}

inline void publish(std::atomic<std::uint32_t>& gauge, std::size_t value) noexcept {
  gauge.store(static_cast<std::uint32_t>(value), std::memory_order_relaxed);
}

/// Counts values by the bucket they fall into. Any number of writers and readers.
class Histogram {
 public:
  /// `bounds` ascend and live as long as the histogram.
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1) {}

  void record(double value) noexcept;
  HistogramSnapshot snapshot() const;
  std::uint64_t count() const noexcept;
  double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

 private:
  std::span<const double> bounds_;
  std::vector<Counter> counts_;  // by bucket; the last is for values beyond the last bound
  std::atomic<double> sum_{0};
};

/// Each group has one writer, named; readers may be on any thread.
struct Counters {
  explicit Counters(std::size_t replicas = 1);

  // Written by the router; refusals also where they are given on its behalf.
  Counter requests_admitted{0};
  std::array<Counter, errc_count> refusals{};           // by Errc
  std::array<Counter, finish_reason_count> finished{};  // by FinishReason
  Counter requests_failed{0};
  std::atomic<std::uint32_t> requests_queued{0};
  std::atomic<std::uint32_t> requests_running{0};
  std::vector<std::atomic<std::uint32_t>> replica_requests_running;  // on each
  /// While the queue is full, when to come back: who reads it need not ask the router, which has better
  /// things to do in an overload than to refuse. 0: there is room.
  std::atomic<std::uint32_t> queue_retry_ms{0};
  std::atomic<std::uint32_t> generators{0};
  Counter preemptions{0};
  Counter evictions{0};  // of them, those for want of KV pages
  Counter replays{0};
  Counter restarts{0};
  Counter reader_stalls{0};
  Counter step_stalls{0};
  Counter prompt_tokens{0};
  Counter completion_tokens{0};
  Histogram queue_time;
  Histogram time_to_first_token;
  Histogram inter_token_latency;
  Histogram request_latency;
  Histogram request_prompt_tokens;
  Histogram request_generation_tokens;

  // Written by the batchers.
  Histogram step_tokens;
  Histogram step_time;
  Histogram step_gap;
  Counter prefix_tokens_asked{0};   // prompt tokens of sequences that began
  Counter prefix_tokens_reused{0};  // of them, not computed again
  Counter draft_tokens{0};          // that were run
  Counter draft_tokens_accepted{0};
  Counter kv_pages_used{0};  // by all of them
  Counter kv_pages_peak{0};
  std::vector<Counter> replica_pages_used;  // by each

  /// A batcher's cache uses so many pages now. One writer per replica at a time.
  void publish_pages(std::size_t replica, std::uint64_t used);

  /// Batchers that were given up and whose step has not ended yet: raised by the router, lowered by them.
  std::atomic<std::uint32_t> stuck_batchers{0};

  /// Both leave out what only the engine knows: the model's name and kv_pages_total.
  EngineStats stats() const;
  Metrics snapshot() const;
};

}  // namespace troupe
