#pragma once
// Load on an engine through its public door, as clients would make it, and what they see of it. Every request
// has a prompt of its own, so that none gains from another's.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "troupe/engine.hpp"

namespace troupe::tools {

/// What the requests look like. They differ in their prompts, random tokens of a vocabulary of `vocab`, and
/// in their seeds; both are functions of `seed` and the request's number.
struct LoadShape {
  std::uint32_t prompt_tokens = 32;
  std::uint32_t max_tokens = 64;
  SamplingOptions sampling = {};
  std::uint64_t seed = 0;
  std::uint32_t vocab = 0;
};

GenerationRequest load_request(const LoadShape& shape, std::uint64_t number);

/// Clients with the same client_key.
struct LoadKey {
  std::string name;
  std::uint32_t clients = 1;
};

/// When there is enough: after so many requests, or after so long, whichever comes first. Also as soon as a
/// signal asks the program to stop: then what runs is cancelled.
struct LoadLimit {
  std::uint64_t requests = std::numeric_limits<std::uint64_t>::max();
  std::optional<std::chrono::duration<double>> time = {};
};

/// Called some times a second on the thread that makes the load, with the share of it that is done.
using LoadProgress = std::function<void(double share)>;

/// What was measured. Times are the clients', in milliseconds.
struct LoadResult {
  /// From the first request to the time limit or, without one, to the last end. Rates are of this time.
  double duration_s = 0;
  std::uint64_t offered = 0;            ///< requests
  std::uint64_t completed = 0;          ///< answered whole
  std::uint64_t refused = 0;            ///< by a full queue; in a closed loop they are submitted again
  std::uint64_t failed = 0;             ///< ended with an error
  std::uint64_t cancelled = 0;          ///< because the program was asked to stop
  std::uint64_t completed_in_time = 0;  ///< within duration_s
  std::uint64_t tokens_in_time = 0;     ///< generated within duration_s
  std::vector<std::uint64_t> key_tokens_in_time;  ///< by key
  std::optional<Error> first_error;               ///< of those that failed

  // One of each completed request, but for inter_token_ms and refusal_ms.
  std::vector<float> queue_ms, ttft_ms, e2e_ms;
  std::vector<float> inter_token_ms;  ///< one of each token after the first
  std::vector<float> refusal_ms;      ///< one of each refusal: how long it took to be told

  std::uint64_t steps = 0;      ///< forward passes until the last end
  double step_s = 0;            ///< spent in them
  double between_steps_s = 0;   ///< spent between them while requests ran
  std::uint64_t evictions = 0;  ///< times that a request made way because the KV cache was full

  /// Resident memory when a quarter of the requests or time was over, and the most since then. 0: not known.
  std::uint64_t resident_bytes_warm = 0;
  std::uint64_t resident_bytes_max = 0;
};

/// As many clients as the keys say, each with one request at a time and the next as soon as that has ended.
/// Those that a full queue refuses wait as they are told and try again.
LoadResult run_closed_loop(Engine& engine, const LoadShape& shape, const std::vector<LoadKey>& keys,
                           const LoadLimit& limit, const LoadProgress& progress);

/// Threads of an open loop for each key, on an engine of `pool` generators.
constexpr std::size_t open_loop_threads(std::size_t pool) {
  return pool + 8;  // so much more than can run at once that the next is read as soon as it runs
}

/// Requests that come at random moments, `rate_per_s` on average (a Poisson process), whatever became of
/// those before them; who is refused goes away. Times count from the moment that was drawn. Returns when all
/// that was admitted has ended. Keys take turns.
LoadResult run_open_loop(Engine& engine, const LoadShape& shape, const std::vector<LoadKey>& keys,
                         double rate_per_s, const LoadLimit& limit, const LoadProgress& progress);

}  // namespace troupe::tools
