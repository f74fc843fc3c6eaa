#include "simulation/simulation.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <stdexcept>

#include "actors/batcher.hpp"
#include "actors/counters.hpp"
#include "actors/generator.hpp"
#include "actors/router.hpp"
#include "simulation/draws.hpp"
#include "simulation/verdict.hpp"

namespace troupe::test {
namespace {

using namespace std::chrono_literals;

/// The longest that time passes in one go, so that nobody wakes later than this.
constexpr SimTime instant_max = 1ms;
/// Nothing waits longer than this for anything: back-off, slow readers, held generators, steps that hang.
constexpr std::chrono::seconds silence_max{3};
/// Deaths in one simulation: less than its budget of restarts.
constexpr std::uint64_t deaths_max = 120;

class TestingConfig : public caf::actor_system_config {
 public:
  TestingConfig() { set("scheduler.policy", caf::atom("testing")); }
};

class Simulation {
 public:
  Simulation(std::uint64_t seed, const std::shared_ptr<const Model>& model, bool trace);
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  Tally run();

 private:
  // ---- setting up ----
  StreamReader::behavior_type sink_behavior();
  RouterConfig router_config(const std::shared_ptr<const Model>& model);

  // ---- time and order ----
  TimePoint now() { return scheduler_.clock().now(); }
  void elapse(SimTime time);
  void settle_instant();
  void run_ready();
  bool run_any();
  void at(TimePoint time, std::function<void()> act) { agenda_.emplace(time, std::move(act)); }
  bool act_due();

  // ---- clients ----
  void submit(const PlannedRequest& plan);
  void take_answers();
  void got_token(const StreamToken& m);
  void read_later(Stream& stream);
  void cancel(Stream& stream);
  void drain();

  // ---- mishaps ----
  void disturb();
  void within_step(const SimStepper& stepper, const StepBatch& batch);
  bool suspect(const SimStepper& stepper, const StepBatch& batch, bool innocent_only);
  bool may_die() const { return deaths_ < deaths_max || scenario_.tight_budgets; }

  // ---- checks ----
  void check_cache();
  void finish();

  Scenario scenario_;
  Draws draws_;
  StreamCheck check_;
  std::shared_ptr<Counters> counters_ = std::make_shared<Counters>();
  std::shared_ptr<StepperWatch> watch_ = std::make_shared<StepperWatch>();

  TestingConfig config_;
  std::optional<caf::actor_system> system_;
  caf::scheduler::test_coordinator& scheduler_;
  std::optional<caf::scoped_actor> client_;
  StreamReader sink_;
  RouterActor router_;
  std::vector<GeneratorActor> generators_;  // every one that was spawned
  std::vector<BatcherActor> batchers_;
  std::map<caf::resumable*, TimePoint> held_;

  std::multimap<TimePoint, std::function<void()>> agenda_;
  std::deque<StreamTag> asked_;  // submissions without an answer, in order
  TimePoint begin_{};
  std::size_t arrived_ = 0;
  std::uint64_t deaths_ = 0;
  int steps_running_ = 0;
  int steps_hanging_ = 0;
  bool draining_ = false;
  bool drained_ = false;
};

StreamCheck::Trace tracer(bool on, const std::function<TimePoint()>& now, std::uint64_t& hash) {
  return [=, &hash](const std::string& line) {
    const auto us = std::chrono::duration_cast<SimTime>(now().time_since_epoch()).count();
    for (const char c : line) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    hash = (hash ^ static_cast<std::uint64_t>(us)) * 1099511628211U;
    if (on) std::fprintf(stderr, "%10.3f ms  %s\n", static_cast<double>(us) / 1000, line.c_str());
  };
}

template <class Handle>
caf::resumable* job_of(const Handle& handle) {
  return dynamic_cast<caf::resumable*>(caf::actor_cast<caf::abstract_actor*>(handle));
}

Simulation::Simulation(std::uint64_t seed, const std::shared_ptr<const Model>& model, bool trace)
    : scenario_(make_scenario(seed)),
      draws_(seed, 2),
      check_(scenario_, *model, tracer(trace, [this] { return now(); }, check_.tally.trace)),
      system_(std::in_place, config_),
      scheduler_(static_cast<caf::scheduler::test_coordinator&>(system_->scheduler())),
      client_(std::in_place, *system_) {
  begin_ = now();
  watch_->during = [this](const SimStepper& stepper, const StepBatch& batch) { within_step(stepper, batch); };
  sink_ = system_->spawn([this](StreamReader::pointer) { return sink_behavior(); });
  router_ = spawn_router(*system_, router_config(model));
  for (const PlannedRequest& plan : scenario_.requests) {
    at(begin_ + plan.arrival, [this, &plan] { submit(plan); });
  }
  if (scenario_.drain_at) at(begin_ + *scenario_.drain_at, [this] { drain(); });
}

/// Only after finish(), which leaves the sink alone.
Simulation::~Simulation() {
  caf::anon_send_exit(sink_, caf::exit_reason::user_shutdown);
  sink_ = nullptr;
  scheduler_.run();
}

StreamReader::behavior_type Simulation::sink_behavior() {
  return {
      [this](const StreamToken& m) { got_token(m); },
      [this](const StreamEnd& m) { check_.end(m, now()); },
      [this](const StreamError& m) { check_.error(m, now()); },
  };
}

RouterConfig Simulation::router_config(const std::shared_ptr<const Model>& model) {
  const EngineOptions& o = scenario_.options;
  BatcherConfig batcher;
  batcher.counters = counters_;
  batcher.step_tokens_max = o.step_tokens_max;
  batcher.straggler_wait_us = o.straggler_wait_us;
  batcher.prefix_cache = o.prefix_cache;
  batcher.detached = false;
  batcher.make_stepper = [this, vocab = model->info().vocab_size] {
    return std::make_unique<SimStepper>(watch_, scenario_.kv_pages_max, vocab);
  };
  RouterConfig router;
  router.model = model;
  router.counters = counters_;
  router.options = o;
  router.kv_pages_max = scenario_.kv_pages_max;
  router.make_generator = [this, model] {
    generators_.push_back(spawn_generator(*system_, model, scenario_.options.context_tokens));
    return generators_.back();
  };
  router.make_batcher = [this, batcher](std::shared_ptr<StepLease> lease) mutable {
    if (may_die() && draws_.chance(scenario_.start_fails)) {
      ++deaths_;
      throw std::runtime_error("there is no memory for a batcher");
    }
    batcher.lease = std::move(lease);
    batchers_.push_back(spawn_batcher(*system_, batcher));
    return batchers_.back();
  };
  return router;
}

// ---- time and order ----

/// Lets time pass, and whatever becomes due meanwhile happen.
void Simulation::elapse(SimTime time) {
  const TimePoint until = now() + time;
  settle_instant();
  while (now() < until) {
    const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(until - now());
    scheduler_.advance_time(std::min<std::chrono::nanoseconds>(instant_max, rest));
    settle_instant();
  }
}

/// Afterwards nobody but a batcher in a step, or a generator that is held, has anything to handle.
void Simulation::settle_instant() {
  bool more = true;
  while (more) {
    run_ready();
    take_answers();
    more = act_due();
    more |= scheduler_.advance_time(0ns) != 0;  // timers that were set for now
  }
  check_.instant(now(), *counters_);
  if (steps_running_ == 0) check_cache();
}

void Simulation::run_ready() {
  while (run_any()) disturb();
}

/// One message of any actor that has one.
bool Simulation::run_any() {
  auto& jobs = scheduler_.jobs;
  std::vector<std::size_t> ready;
  ready.reserve(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto held = held_.find(jobs[i]);
    if (held == held_.end() || held->second <= now()) ready.push_back(i);
  }
  if (ready.empty()) return false;
  const auto chosen = static_cast<std::ptrdiff_t>(ready[draws_.between(0, ready.size() - 1)]);
  std::rotate(jobs.begin(), jobs.begin() + chosen, jobs.begin() + chosen + 1);
  return scheduler_.try_run_once();
}

bool Simulation::act_due() {
  bool acted = false;
  while (!agenda_.empty() && agenda_.begin()->first <= now()) {
    const auto act = std::move(agenda_.begin()->second);
    agenda_.erase(agenda_.begin());
    act();
    acted = true;
  }
  return acted;
}

// ---- clients ----

void Simulation::submit(const PlannedRequest& plan) {
  Stream& stream = check_.submitted(plan, now());
  Submission submission;
  submission.work = plan.work;
  submission.deadline = stream.deadline;
  submission.priority = plan.priority;
  submission.client_key = plan.client_key;
  submission.window_tokens = plan.window_tokens;
  submission.sink = sink_;
  submission.tag = stream.tag;
  ++arrived_;
  if (drained_) return check_.admission(stream.tag, {0, Error{Errc::draining, "the router is gone", 0}}, now());
  asked_.push_back(stream.tag);
  (*client_)->send(router_, std::move(submission));
  if (plan.cancelled_after)
    at(now() + *plan.cancelled_after, [this, tag = stream.tag] { cancel(check_.at(tag)); });
}

void Simulation::take_answers() {
  while ((*client_)->has_next_message()) {
    (*client_)->receive(
        [&](const Admission& admission) {
          const StreamTag tag = asked_.front();
          asked_.pop_front();
          check_.admission(tag, admission, now());
        },
        [&](const Drained&) { drained_ = true; });
  }
  if (!drained_) return;
  // What reaches a router that has ended gets no answer.
  for (const StreamTag tag : asked_)
    check_.admission(tag, {0, Error{Errc::draining, "the router is gone", 0}}, now());
  asked_.clear();
}

void Simulation::got_token(const StreamToken& m) {
  check_.token(m, now());
  Stream& stream = check_.at(m.tag);
  if (m.event.token == no_token || stream.plan->window_tokens == 0) return;
  switch (stream.plan->reader) {
    case ReaderHabit::eager:
      check_.took(stream, 1);
      caf::anon_send(router_, Consumed{stream.id, 1});
      break;
    case ReaderHabit::slow:
      if (stream.tokens.size() - stream.consumed == 1) read_later(stream);
      break;
    case ReaderHabit::absent: break;
  }
}

/// A slow reader comes when it likes, but before it is taken for absent.
void Simulation::read_later(Stream& stream) {
  const std::uint32_t wait_ms = scenario_.options.reader_stall_ms_max;
  const std::uint64_t latest_us = wait_ms == 0 ? 60'000 : 1000 * std::min(60U, wait_ms * 3 / 4);
  at(now() + SimTime(draws_.between(0, latest_us)), [this, tag = stream.tag] {
    Stream& reading = check_.at(tag);
    if (reading.ended) return;
    const auto tokens =
        static_cast<std::uint32_t>(draws_.between(1, reading.tokens.size() - reading.consumed));
    check_.took(reading, tokens);
    caf::anon_send(router_, Consumed{reading.id, tokens});
    if (reading.tokens.size() != reading.consumed) read_later(reading);
  });
}

void Simulation::cancel(Stream& stream) {
  if (stream.id == 0 || drained_) return;
  if (stream.alive()) stream.cancel_asked = now();
  caf::anon_send<caf::message_priority::high>(router_, Cancel{stream.id});
}

void Simulation::drain() {
  if (draining_) return;
  draining_ = true;
  check_.trace("the drain begins, " + std::to_string(scenario_.drain_ms) + " ms");
  check_.draining(now() + std::chrono::milliseconds(scenario_.drain_ms));
  (*client_)->send(router_, Drain{scenario_.drain_ms});
}

// ---- mishaps ----

/// Between any two messages.
void Simulation::disturb() {
  if (draws_.chance(scenario_.cancel) && !check_.streams().empty())
    cancel(check_.at(draws_.between(1, check_.streams().size())));
  if (generators_.empty() || batchers_.empty()) return;
  const std::size_t first = generators_.size() - std::min<std::size_t>(generators_.size(), 8);
  const auto& generator = generators_[draws_.between(first, generators_.size() - 1)];
  if (draws_.chance(scenario_.kill_generator) && may_die()) {
    ++deaths_;
    ++check_.tally.generators_killed;
    check_.trace("a generator is killed");
    caf::anon_send_exit(generator, caf::exit_reason::kill);
  }
  if (draws_.chance(scenario_.kill_batcher) && may_die()) {
    ++deaths_;
    ++check_.tally.batchers_killed;
    check_.trace("the batcher is killed");
    caf::anon_send_exit(batchers_.back(), caf::exit_reason::kill);
  }
  if (draws_.chance(scenario_.hold_generator)) {
    held_[job_of(generator)] = now() + SimTime(draws_.between(100, 20'000));
  }
}

void Simulation::within_step(const SimStepper& stepper, const StepBatch& batch) {
  ++check_.tally.steps;
  SimTime time = scenario_.step_time + scenario_.row_time * batch.rows.size();
  const bool poisoned = std::any_of(batch.rows.begin(), batch.rows.end(),
                                    [](const StepRow& row) { return row.token == poison; });
  const bool fails = draws_.chance(scenario_.step_fails);
  const bool hangs = draws_.chance(scenario_.step_hangs) && steps_hanging_ < 2 && may_die() &&
                     scenario_.options.step_stall_ms_max != 0;
  const bool mishap = poisoned || ((fails || hangs) && !suspect(stepper, batch, true));
  if (mishap) suspect(stepper, batch, false);
  const bool hanging = mishap && hangs;
  check_.trace("a step of " + std::to_string(batch.rows.size()) + " rows" +
               (hanging  ? " hangs"
                : mishap ? " fails"
                         : ""));
  if (hanging) {
    ++deaths_;
    ++check_.tally.steps_hung;
    time += std::chrono::milliseconds(2 * scenario_.options.step_stall_ms_max + 100);
  }
  ++steps_running_;
  steps_hanging_ += hanging;
  elapse(time);
  steps_hanging_ -= hanging;
  --steps_running_;
  if (!mishap || hanging) return;
  ++check_.tally.steps_failed;
  throw std::runtime_error("the step was told to fail");
}

/// Whether one of the streams that may take part in the step is suspected of breaking steps already: a second
/// mishap would be held against it. Else, unless only asked, they are now.
bool Simulation::suspect(const SimStepper& stepper, const StepBatch& batch, bool ask) {
  std::map<SequenceId, std::vector<Token>> texts;
  for (const StepRow& row : batch.rows) {
    const auto [text, fresh] = texts.try_emplace(row.sequence);
    if (fresh) text->second = stepper.stored(row.sequence);
    text->second.push_back(row.token);
  }
  for (auto& [tag, stream] : check_.streams()) {
    if (stream.ended || stream.plan->poisoned) continue;
    std::vector<Token> whole = stream.plan->work->prompt;
    const auto& answer = check_.solo(stream).tokens;
    whole.insert(whole.end(), answer.begin(), answer.end());
    for (const auto& [sequence, text] : texts) {
      if (text.size() > whole.size() || !std::equal(text.begin(), text.end(), whole.begin())) continue;
      if (ask && stream.suspected) return true;
      if (!ask) stream.suspected = true;
    }
  }
  return false;
}

// ---- checks ----

/// Between steps: the cache holds what runs and nothing else.
void Simulation::check_cache() {
  if (!scheduler_.jobs.empty()) return;  // a generator is held
  if (watch_->alive.size() > 1) violation("there are " + std::to_string(watch_->alive.size()) + " KV caches");
  for (const SimStepper* stepper : watch_->alive) {
    const std::string wrong = stepper->audit();
    if (!wrong.empty()) violation(wrong);
    if (stepper->sequences() != counters_->requests_running) {
      violation(std::to_string(stepper->sequences()) + " sequences are open for " +
                std::to_string(counters_->requests_running) + " running requests");
    }
    if (stepper->pages_used() != counters_->kv_pages_used)
      violation("kv_pages_used says " + std::to_string(counters_->kv_pages_used) + ", but it is " +
                std::to_string(stepper->pages_used()));
  }
}

Tally Simulation::run() {
  settle_instant();
  while (!drained_) {
    elapse(instant_max);
    const bool all_ended = arrived_ == scenario_.requests.size() && check_.alive() == 0;
    if (all_ended && asked_.empty()) drain();
    if (now() - check_.last_event() > silence_max && check_.alive() != 0) {
      violation("nothing has happened for " + std::to_string(silence_max.count()) + " s while " +
                std::to_string(check_.alive()) + " requests wait for their end");
    }
    if (now() - begin_ > 600s) violation("the router does not end");
  }
  finish();
  return check_.tally;
}

void Simulation::finish() {
  for (; !agenda_.empty(); elapse(instant_max)) {
  }
  check_.finished(*counters_);
  generators_.clear();
  batchers_.clear();
  router_ = nullptr;
  client_.reset();
  held_.clear();
  // A timer keeps its actor until it fires.
  for (int ms = 0; scheduler_.has_pending_timeout() || scheduler_.has_job(); ++ms) {
    if (ms > 10'000) violation("timers are set again and again after the end");
    scheduler_.advance_time(1ms);
    scheduler_.run();
  }
  if (!watch_->alive.empty()) violation("a KV cache outlives the router");
  const std::size_t actors = system_->registry().running();
  if (actors != 1) violation(std::to_string(actors - 1) + " actors outlive the router");
}

}  // namespace

Tally simulate(std::uint64_t seed, const std::shared_ptr<const Model>& model, bool trace) {
  return Simulation(seed, model, trace).run();
}

}  // namespace troupe::test
