#pragma once
// Coalesces the forward passes of all running generators: one pass over the weights serves them all.

#include <functional>
#include <memory>

#include "actors/counters.hpp"
#include "actors/messages.hpp"
#include "actors/placement.hpp"
#include "actors/step_lease.hpp"
#include "actors/stepper.hpp"

namespace troupe {

struct BatcherConfig {
  std::function<std::unique_ptr<Stepper>()> make_stepper;  ///< called once, on the batcher's thread
  std::shared_ptr<Counters> counters;
  std::shared_ptr<StepLease> lease;  ///< of this batcher alone
  ReplicaIndex replica = 0;          ///< which of the router's batchers this is
  std::uint32_t step_tokens_max = 256;
  double step_stretch_max = EngineOptions().step_stretch_max;
  std::uint32_t step_stall_ms_max = EngineOptions().step_stall_ms_max;
  std::uint32_t straggler_wait_us = 2000;
  bool prefix_cache = true;  ///< requests that begin alike share what was computed for the beginning
  /// A thread of its own, because a step blocks for as long as it computes. Off under a deterministic
  /// scheduler.
  bool detached = true;
};

/// Spawns the batcher, monitored by nobody yet. It owns the KV cache and the kernel threads, and ends on
/// Quit. It runs a step as soon as every generator that holds logits has answered them, or when waiting for
/// them longer costs more than it brings (straggler_wait.hpp), at most straggler_wait_us after it could have
/// run. When its lease is given up during a step it ends behind that step, in silence. Throws
/// std::system_error when there is no thread for it.
BatcherActor spawn_batcher(caf::actor_system& system, const BatcherConfig& config);

}  // namespace troupe
