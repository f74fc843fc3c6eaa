#pragma once
// Admits requests, hands them to generators, replays what a fault interrupts, and answers each exactly once.

#include <functional>
#include <memory>

#include "actors/counters.hpp"
#include "actors/messages.hpp"
#include "actors/placement.hpp"
#include "actors/step_lease.hpp"
#include "troupe/model.hpp"
#include "troupe/options.hpp"

namespace troupe {

struct RouterConfig {
  std::shared_ptr<const Model> model;
  std::shared_ptr<Counters> counters;
  EngineOptions options;         ///< with every 0 replaced by what it stands for
  std::size_t kv_pages_max = 0;  ///< of each batcher's cache
  /// Whether the router ends, with an error of category `troupe`, when it gives up on restarts; else it stays
  /// and refuses.
  bool quits_when_failed = false;
  std::function<GeneratorActor()> make_generator;
  std::function<BatcherActor(ReplicaIndex, std::shared_ptr<StepLease>)> make_batcher;
};

/// Spawns the router, which spawns its batchers at once and generators as they are needed, up to
/// options.pool_max. It is the one log of what each request has emitted: a generator or batcher that dies
/// costs its requests a replay, never a token. It ends after answering Drain.
RouterActor spawn_router(caf::actor_system& system, const RouterConfig& config);

}  // namespace troupe
