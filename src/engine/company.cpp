#include "engine/company.hpp"

#include <caf/actor_registry.hpp>
#include <caf/actor_system.hpp>
#include <chrono>
#include <thread>

#include "actors/batcher.hpp"
#include "actors/generator.hpp"
#include "base/guard.hpp"
#include "base/try.hpp"

namespace troupe {
namespace {

std::function<std::unique_ptr<Stepper>(ReplicaIndex)> stepper_maker(const std::shared_ptr<const Model>& model,
                                                                    const ResolvedOptions& resolved) {
  return [model, resolved](ReplicaIndex replica) {
    return make_model_stepper(model, resolved.kv_type, resolved.kv_pages_max, resolved.options.context_tokens,
                              resolved.threads_of(replica));
  };
}

}  // namespace

Result<Company> make_company(std::shared_ptr<const Model> model, const EngineOptions& options) {
  if (model == nullptr) return Error{Errc::bad_argument, "there is no model to run", 0};
  TROUPE_TRY(const ResolvedOptions resolved, resolve(options, *model));
  return guarded("starting the engine", [&]() -> Result<Company> {
    Company company;
    company.make_stepper = stepper_maker(model, resolved);
    company.first_steppers = std::make_shared<std::vector<std::unique_ptr<Stepper>>>();
    for (ReplicaIndex replica = 0; replica < resolved.options.replicas; ++replica)
      company.first_steppers->push_back(company.make_stepper(replica));
    company.model = std::move(model);
    company.resolved = resolved;
    company.counters = std::make_shared<Counters>(resolved.options.replicas);
    company.gate = std::make_shared<Gate>(company.counters, resolved.options);
    return company;
  });
}

EngineStats stats_of(const Company& company) {
  EngineStats stats = company.counters->stats();
  stats.kv_pages_total = company.resolved.kv_pages_total();
  return stats;
}

Metrics metrics_of(const Company& company) {
  Metrics metrics = company.counters->snapshot();
  metrics.model_name = company.model->info().name;
  metrics.stats = stats_of(company);
  return metrics;
}

RouterConfig router_config(caf::actor_system& system, const Company& company, bool router_quits_when_failed) {
  const EngineOptions& options = company.resolved.options;
  RouterConfig router;
  router.model = company.model;
  router.counters = company.counters;
  router.options = options;
  router.kv_pages_max = company.resolved.kv_pages_max;
  router.quits_when_failed = router_quits_when_failed;
  router.make_generator =
      [&system, config = GeneratorConfig{company.model, options.context_tokens, options.draft_tokens_max}] {
        return spawn_generator(system, config);
      };
  BatcherConfig batcher;
  batcher.counters = company.counters;
  batcher.step_tokens_max = options.step_tokens_max;
  batcher.step_stretch_max = options.step_stretch_max;
  batcher.step_stall_ms_max = options.step_stall_ms_max;
  batcher.straggler_wait_us = options.straggler_wait_us;
  batcher.prefix_cache = options.prefix_cache;
  router.make_batcher = [&system, batcher, all_prepared = company.first_steppers,
                         make = company.make_stepper](ReplicaIndex replica,
                                                      std::shared_ptr<StepLease> lease) {
    BatcherConfig fresh = batcher;
    fresh.replica = replica;
    fresh.lease = std::move(lease);
    fresh.make_stepper = [all_prepared, make, replica] {
      std::unique_ptr<Stepper>& prepared = (*all_prepared)[replica];
      return prepared ? std::move(prepared) : make(replica);
    };
    return spawn_batcher(system, fresh);
  };
  return router;
}

RouterActor spawn_company(caf::actor_system& system, const Company& company, bool router_quits_when_failed) {
  return spawn_router(system, router_config(system, company, router_quits_when_failed));
}

bool await_end(caf::actor_system& system, const Counters& counters, std::uint32_t step_stall_ms_max) {
  if (step_stall_ms_max == 0) {
    system.await_all_actors_done();
    return true;
  }
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(step_stall_ms_max);
  const auto alive = [&] { return system.registry().running(); };
  while (alive() > counters.stuck_batchers && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return alive() == 0;
}

}  // namespace troupe
