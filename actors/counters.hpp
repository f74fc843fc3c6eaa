#pragma once
// Numbers that the actors keep and anybody may read while they run.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace troupe {

/// Each group has one writer, named; readers may be on any thread and see each number whole, though not all
/// of one moment.
struct Counters {
  // Written by the router.
  std::atomic<std::uint64_t> requests_admitted{0};
  std::atomic<std::uint64_t> requests_refused{0};
  std::atomic<std::uint64_t> requests_finished{0};
  std::atomic<std::uint64_t> requests_cancelled{0};
  std::atomic<std::uint64_t> requests_failed{0};
  std::atomic<std::uint32_t> requests_queued{0};
  std::atomic<std::uint32_t> requests_running{0};
  std::atomic<std::uint32_t> generators{0};
  std::atomic<std::uint64_t> replays{0};
  std::atomic<std::uint64_t> restarts{0};
  std::atomic<std::uint64_t> prompt_tokens{0};
  std::atomic<std::uint64_t> completion_tokens{0};

  // Written by the batcher.
  std::atomic<std::uint64_t> steps{0};
  std::atomic<std::uint64_t> step_rows{0};
  std::atomic<std::uint64_t> step_ns{0};
  std::atomic<std::uint64_t> prefix_tokens_asked{0};   // prompt tokens of sequences that began
  std::atomic<std::uint64_t> prefix_tokens_reused{0};  // of them, not computed again
  std::atomic<std::uint64_t> kv_pages_used{0};
  std::atomic<std::uint64_t> kv_pages_peak{0};
};

inline void bump(std::atomic<std::uint64_t>& counter) {
  counter.fetch_add(1, std::memory_order_relaxed);
}

inline void publish(std::atomic<std::uint32_t>& counter, std::size_t value) {
  counter.store(static_cast<std::uint32_t>(value), std::memory_order_relaxed);
}

}  // namespace troupe
