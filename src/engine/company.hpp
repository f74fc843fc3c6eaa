#pragma once
// The actors that answer: a router with its generators and its batchers, in anybody's actor system.

#include <functional>
#include <memory>
#include <vector>

#include "actors/gate.hpp"
#include "actors/router.hpp"
#include "actors/stepper.hpp"
#include "engine/resolve.hpp"

namespace troupe {

struct Company {
  std::shared_ptr<const Model> model;
  ResolvedOptions resolved;
  std::shared_ptr<Counters> counters;
  std::shared_ptr<Gate> gate;
  std::function<std::unique_ptr<Stepper>(ReplicaIndex)> make_stepper;
  /// The first batchers', by replica, made beforehand so that what they lack is an error of the start.
  std::shared_ptr<std::vector<std::unique_ptr<Stepper>>> first_steppers;
};

/// Errors: bad_argument (no model; an option out of range), too_large (KV cache, memory), io (no threads).
Result<Company> make_company(std::shared_ptr<const Model> model, const EngineOptions& options);

/// What it has done and is doing.
EngineStats stats_of(const Company& company);
Metrics metrics_of(const Company& company);

/// How the router is spawned, and it the others. `system` must outlive it.
RouterConfig router_config(caf::actor_system& system, const Company& company, bool router_quits_when_failed);

/// Spawns the router, which spawns the others. `system` must outlive it.
RouterActor spawn_company(caf::actor_system& system, const Company& company, bool router_quits_when_failed);

/// After all actors of `system` were told to end: waits until they have. False when batchers are left whose
/// step does not end: those that were given up, or one that takes longer than step_stall_ms_max (0: waits for
/// ever).
bool await_end(caf::actor_system& system, const Counters& counters, std::uint32_t step_stall_ms_max);

}  // namespace troupe
