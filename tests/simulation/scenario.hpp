#pragma once
// What a seed means: a load, limits that it meets, and the faults on the way.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/messages.hpp"
#include "troupe/options.hpp"

namespace troupe::test {

using SimTime = std::chrono::microseconds;

enum class ReaderHabit : std::uint8_t {
  eager,   // takes each token at once
  slow,    // now and then takes some of them
  absent,  // takes nothing, ever
};

struct PlannedRequest {
  SimTime arrival{};
  std::shared_ptr<const Work> work;
  std::optional<SimTime> patience;  ///< from its arrival to its deadline
  std::optional<SimTime> cancelled_after;
  Priority priority = Priority::normal;
  std::string client_key;
  std::uint32_t window_tokens = 0;
  ReaderHabit reader = ReaderHabit::eager;
  bool poisoned = false;
};

struct Scenario {
  EngineOptions options;
  std::size_t kv_pages_max = 0;  ///< of each replica
  /// Answers are of so many tokens that follow one another in a circle, mostly, so that drafts are right more
  /// often than not. 0: of all tokens, at random.
  std::size_t habit = 0;
  /// Short prompts have long answers, mostly, so that what runs outgrows the KV cache.
  bool long_answers = false;
  std::vector<PlannedRequest> requests;  ///< by arrival
  SimTime step_time{};                   ///< of a step, and of each row in it
  SimTime row_time{};

  // Chances, of each message that is handled.
  double cancel = 0;
  double kill_generator = 0;
  double kill_batcher = 0;
  double hold_generator = 0;  ///< it handles nothing for some milliseconds
  // Of each step.
  double step_fails = 0;
  double step_hangs = 0;
  // Of each start.
  double start_fails = 0;

  /// Deaths are so many, or budgets so small, that requests may end with the error of that.
  bool tight_budgets = false;
  std::optional<SimTime> drain_at;  ///< nullopt: when every request has ended
  std::uint32_t drain_ms = 0;

  /// The most positions that one of its requests may take.
  std::size_t request_tokens_max() const;
};

Scenario make_scenario(std::uint64_t seed);

}  // namespace troupe::test
