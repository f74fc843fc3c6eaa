#include "simulation/sim_world.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <map>
#include <optional>
#include <set>

#include "actors/batcher.hpp"
#include "actors/generator.hpp"
#include "actors/router.hpp"
#include "simulation/verdict.hpp"

namespace troupe::test {
namespace {

using namespace std::chrono_literals;

/// The longest that time passes in one go, so that nobody wakes later than this.
constexpr SimTime instant_max = 1ms;

class TestingConfig : public caf::actor_system_config {
 public:
  TestingConfig() { set("scheduler.policy", caf::atom("testing")); }
};

template <class Handle>
caf::resumable* job_of(const Handle& handle) {
  return dynamic_cast<caf::resumable*>(caf::actor_cast<caf::abstract_actor*>(handle));
}

}  // namespace

struct SimWorld::State {
  State(const Scenario& its_scenario, Draws& its_draws, SimObserver& its_observer)
      : scenario(its_scenario), draws(its_draws), observer(its_observer) {}

  RouterConfig router_config(const std::shared_ptr<const Model>& model);
  TimePoint now() { return scheduler.clock().now(); }
  bool run_any();
  bool act_due();
  void take_answers();

  const Scenario& scenario;
  Draws& draws;
  SimObserver& observer;
  std::shared_ptr<Counters> counters = std::make_shared<Counters>(scenario.options.replicas);
  std::shared_ptr<StepperWatch> watch = std::make_shared<StepperWatch>();

  TestingConfig config;
  caf::actor_system system{config};
  caf::scheduler::test_coordinator& scheduler =
      static_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  std::optional<caf::scoped_actor> client{std::in_place, system};
  StreamReader sink;
  RouterActor router;
  std::vector<GeneratorActor> generators;  // every one that was spawned
  std::vector<BatcherActor> batchers;
  std::set<caf::resumable*> batcher_jobs;
  std::map<caf::resumable*, TimePoint> held;
  TimePoint step_end = TimePoint::max();  // of the step that began last, if it is under way
  std::multimap<TimePoint, std::function<void()>> agenda;
};

SimWorld::SimWorld(const Scenario& scenario, const std::shared_ptr<const Model>& model, Draws& draws,
                   SimObserver& observer)
    : state_(std::make_unique<State>(scenario, draws, observer)) {
  state_->watch->during = [&observer](const SimStepper& stepper, const StepBatch& batch) {
    observer.within_step(stepper, batch);
  };
  state_->watch->remembered = [&observer](std::span<const Token> text) { observer.remembered(text); };
  state_->sink = state_->system.spawn([&observer](StreamReader::pointer) -> StreamReader::behavior_type {
    return {
        [&observer](const StreamToken& m) { observer.token(m); },
        [&observer](const StreamEnd& m) { observer.end(m); },
        [&observer](const StreamError& m) { observer.error(m); },
    };
  });
  state_->router = spawn_router(state_->system, state_->router_config(model));
}

SimWorld::~SimWorld() {
  caf::anon_send_exit(state_->sink, caf::exit_reason::user_shutdown);
  state_->sink = nullptr;
  state_->scheduler.run();
}

RouterConfig SimWorld::State::router_config(const std::shared_ptr<const Model>& model) {
  const EngineOptions& o = scenario.options;
  BatcherConfig batcher;
  batcher.counters = counters;
  batcher.step_tokens_max = o.step_tokens_max;
  batcher.straggler_wait_us = o.straggler_wait_us;
  batcher.prefix_cache = o.prefix_cache;
  batcher.detached = false;
  RouterConfig made;
  made.model = model;
  made.counters = counters;
  made.options = o;
  made.kv_pages_max = scenario.kv_pages_max;
  made.make_generator = [this, model] {
    const EngineOptions& options = scenario.options;
    generators.push_back(spawn_generator(system, {model, options.context_tokens, options.draft_tokens_max}));
    return generators.back();
  };
  made.make_batcher = [this, batcher, vocab = model->info().vocab_size](
                          ReplicaIndex replica, std::shared_ptr<StepLease> lease) mutable {
    observer.before_start();
    batcher.replica = replica;
    batcher.lease = std::move(lease);
    batcher.make_stepper = [this, replica, vocab] {
      return std::make_unique<SimStepper>(watch, replica, scenario.kv_pages_max, vocab, scenario.habit);
    };
    batchers.push_back(spawn_batcher(system, batcher));
    batcher_jobs.insert(job_of(batchers.back()));
    return batchers.back();
  };
  return made;
}

// ---- time ----

TimePoint SimWorld::now() const {
  return state_->now();
}

void SimWorld::elapse(SimTime time) {
  const TimePoint until = now() + time;
  settle_instant();
  while (now() < until) {
    const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(until - now());
    state_->scheduler.advance_time(std::min<std::chrono::nanoseconds>(instant_max, rest));
    settle_instant();
  }
}

void SimWorld::elapse_step(SimTime time) {
  const TimePoint outer_end = state_->step_end;
  state_->step_end = std::min<TimePoint>(now() + time, outer_end);
  elapse(std::chrono::duration_cast<SimTime>(state_->step_end - now()));
  state_->step_end = outer_end;
}

bool SimWorld::within_step() const {
  return state_->step_end != TimePoint::max();
}

void SimWorld::settle_instant() {
  bool more = true;
  while (more) {
    while (state_->run_any()) state_->observer.between_messages();
    state_->take_answers();
    more = state_->act_due();
    more |= state_->scheduler.advance_time(0ns) != 0;  // timers that were set for now
  }
  state_->observer.instant();
}

void SimWorld::at(TimePoint time, std::function<void()> act) {
  state_->agenda.emplace(time, std::move(act));
}

bool SimWorld::idle() const {
  return state_->scheduler.jobs.empty();
}

/// One message of any actor that has one.
bool SimWorld::State::run_any() {
  auto& jobs = scheduler.jobs;
  std::vector<std::size_t> ready;
  ready.reserve(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto until = held.find(jobs[i]);
    if (until != held.end() && until->second > now()) continue;
    if (step_end <= now() && batcher_jobs.count(jobs[i]) != 0) continue;
    ready.push_back(i);
  }
  if (ready.empty()) return false;
  const auto chosen = static_cast<std::ptrdiff_t>(ready[draws.between(0, ready.size() - 1)]);
  std::rotate(jobs.begin(), jobs.begin() + chosen, jobs.begin() + chosen + 1);
  return scheduler.try_run_once();
}

bool SimWorld::State::act_due() {
  bool acted = false;
  while (!agenda.empty() && agenda.begin()->first <= now()) {
    const auto act = std::move(agenda.begin()->second);
    agenda.erase(agenda.begin());
    act();
    acted = true;
  }
  return acted;
}

void SimWorld::State::take_answers() {
  while ((*client)->has_next_message()) {
    (*client)->receive([this](const Admission& admission) { observer.answered(admission); },
                       [this](const Drained&) { observer.drained(); });
  }
}

// ---- what clients send ----

void SimWorld::submit(Submission submission) {
  submission.sink = state_->sink;
  (*state_->client)->send(state_->router, std::move(submission));
}

void SimWorld::consumed(RequestId id, std::uint32_t tokens) {
  caf::anon_send(state_->router, Consumed{id, tokens});
}

void SimWorld::cancel(RequestId id) {
  caf::anon_send<caf::message_priority::high>(state_->router, Cancel{id});
}

void SimWorld::drain(std::uint32_t drain_ms) {
  (*state_->client)->send(state_->router, Drain{drain_ms});
}

// ---- what happens to actors ----

std::size_t SimWorld::generators() const {
  return state_->generators.size();
}

std::size_t SimWorld::batchers() const {
  return state_->batchers.size();
}

void SimWorld::kill_generator(std::size_t i) {
  caf::anon_send_exit(state_->generators.at(i), caf::exit_reason::kill);
}

void SimWorld::kill_batcher(std::size_t i) {
  caf::anon_send_exit(state_->batchers.at(i), caf::exit_reason::kill);
}

void SimWorld::hold_generator(std::size_t i, SimTime time) {
  state_->held[job_of(state_->generators.at(i))] = now() + time;
}

// ---- the end ----

void SimWorld::finish(const std::function<void()>& check) {
  for (; !state_->agenda.empty(); elapse(instant_max)) {
  }
  check();
  state_->generators.clear();
  state_->batchers.clear();
  state_->router = nullptr;
  state_->client.reset();
  state_->held.clear();
  auto& scheduler = state_->scheduler;
  // A timer keeps its actor until it fires.
  for (int ms = 0; scheduler.has_pending_timeout() || scheduler.has_job(); ++ms) {
    if (ms > 10'000) violation("timers are set again and again after the end");
    scheduler.advance_time(1ms);
    scheduler.run();
  }
  if (!state_->watch->alive.empty()) violation("a KV cache outlives the router");
  const std::size_t actors = state_->system.registry().running();
  if (actors != 1) violation(std::to_string(actors - 1) + " actors outlive the router");
}

const Counters& SimWorld::counters() const {
  return *state_->counters;
}

const std::set<const SimStepper*>& SimWorld::steppers() const {
  return state_->watch->alive;
}

}  // namespace troupe::test
