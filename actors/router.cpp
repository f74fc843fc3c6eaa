#include "actors/router.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <utility>

#include "actors/accounts.hpp"
#include "actors/crew.hpp"
#include "actors/ending.hpp"
#include "actors/fault_policy.hpp"
#include "actors/flight_board.hpp"
#include "actors/validate.hpp"
#include "actors/wake_timer.hpp"
#include "base/check.hpp"
#include "base/log.hpp"

namespace troupe {
namespace {

class RouterState {
 public:
  using Self = RouterActor::stateful_pointer<RouterState>;

  RouterState() = default;
  /// However the router ends, so do its generators and its batchers. They do not watch it: a watch is let go
  /// of only when the watched ends, and would keep the memory of each of them until then.
  ~RouterState() {
    if (!crew_) return;
    publish(config_.counters->queue_retry_ms, 0);  // there is no queue to come back to
    publish(config_.counters->generators, 0);
    for (const GeneratorActor& generator : crew_->generators()) caf::anon_send(generator, Quit{});
    for (const ReplicaIndex r : crew_->up()) caf::anon_send(crew_->batcher(r), Quit{});
  }
  RouterState(const RouterState&) = delete;
  RouterState& operator=(const RouterState&) = delete;

  void start(Self self, const RouterConfig& config) {
    self_ = self;
    config_ = config;
    const EngineOptions& o = config_.options;
    flights_.emplace(o.queue_requests_max, o.queue_tokens_max, o.context_tokens);
    accounts_.emplace(config_.counters);
    faults_.emplace(o);
    placement_.emplace(o.routing, o.replicas, config_.kv_pages_max, o.kv_overcommit);
    const auto monitored = [this](auto spawn) {
      return [this, spawn](const auto&... arguments) {
        auto actor = spawn(arguments...);
        self_->monitor(actor);
        return actor;
      };
    };
    crew_.emplace(o, Crew::Spawn{monitored(config_.make_generator), monitored(config_.make_batcher)},
                  config_.counters);
    self_->set_down_handler([this](caf::down_msg& m) { down(m); });
    keep_batchers();
    dispatch();
  }

  // ---- from the embedder ----

  Admission submit(Submission& m) {
    if (ending_.asked_for())
      return refuse({Errc::draining, "the engine is stopping and takes no new requests", 0});
    if (crew_->failed()) return refuse(engine_failed());
    const TimePoint now = this->now();
    if (m.deadline && *m.deadline <= now)
      return refuse({Errc::deadline, "the deadline has passed already", 0});
    const Status valid = validate(m, *config_.model, config_.options.context_tokens, config_.kv_pages_max);
    if (!valid) return refuse(valid.error());
    const Flight* flight = flights_->admit(m, now);
    if (flight == nullptr) return refuse(flights_->queue_full(*m.work));
    const RequestId id = flight->id;
    accounts_->admitted(*flight);
    dispatch();
    return {id, std::nullopt};
  }

  void cancel(const Cancel& m) {
    if (Flight* flight = flights_->find(m.request)) finish(*flight, FinishReason::cancelled);
    dispatch();
  }

  void consumed(const Consumed& m) {
    Flight* flight = flights_->find(m.request);
    if (flight == nullptr) return;
    flight->consumed += m.tokens;
    if (flight->reader_due && !flight->paused()) {
      accounts_->reader_back(*flight, now());
      flights_->reader_back(*flight);
      set_timer();
    }
    if (!flight->generator) return dispatch();  // it may go on now where others wait for their readers
    self_->send(flight->generator, Credit{m.request, flight->epoch, m.tokens});
  }

  caf::typed_response_promise<Drained> drain(const Drain& m) {
    auto promise = self_->make_response_promise<Drained>();
    ending_.ask(promise, now() + std::chrono::milliseconds(m.drain_ms));
    accounts_->now_are(*flights_, *placement_, ending_.asked_for());
    set_timer();
    if (flights_->empty()) complete_drain();
    end_drain(now());
    return promise;
  }

  // ---- from generators ----

  void emission(Emission& m) {
    Flight* flight = flights_->current(m.request, m.epoch);
    if (flight == nullptr) return;
    flight->evaluated(m.cached_tokens);
    if (m.event.token == no_token) {
      if (flight->tail_delivered) return;
      flight->tail_delivered = true;
    } else {
      TROUPE_CHECK(m.event.index == flight->emitted.size());
      accounts_->token(*flight, m.made);
      flights_->served_token(*flight);
      flight->emitted.push_back(m.event.token);
      placement_->got_token(flight->berth, flights_->tokens_left(*flight));
      flight->alone = false;  // past the step that it was suspected of breaking
      if (flight->paused() && !flight->reader_due) {
        flights_->await_reader(*flight, faults_->reader_due(now()));
        set_timer();
      }
    }
    self_->send(flight->submission.sink, flight->token(std::move(m.event)));
    // What was served changes who is next, and whose place may be taken back for that.
    const RequestId next = flights_->next_id();
    const bool may_go = flight->served() == served_min || flight->paused();
    if (next != 0 && (may_go || next != kept_waiting_)) dispatch();
    // Behind what is in the mailbox, the ends of others perhaps.
    if (placement_->overdrawn() && !std::exchange(eviction_due_, true)) self_->send(self_, EvictTick{});
  }

  /// Where requests have grown beyond the KV cache, some make way.
  void evict() {
    eviction_due_ = false;
    while (const auto full = placement_->overdrawn()) {
      accounts_->evicted();
      preempt(flights_->evict_on(*full));
    }
    dispatch();
  }

  void ended(const Ended& m) {
    Flight* flight = flights_->current(m.request, m.epoch);
    if (flight == nullptr) return;
    flight->evaluated(m.cached_tokens);
    finish(*flight, m.reason, GeneratorIs::idle);
    dispatch();
  }

  void faulted(const Faulted& m) {
    Flight* flight = flights_->current(m.request, m.epoch);
    if (flight == nullptr) return;
    release(*flight, GeneratorIs::idle);
    const auto verdict = faults_->step_failed(*flight, m.error, m.final);
    if (!verdict)
      log_warning("request " + std::to_string(m.request) + " is replayed alone: " + m.error.message);
    recover(*flight, verdict);
    dispatch();
  }

  void tick(const RouterTick& m) {
    if (!timer_.rings(m.number)) return;
    const TimePoint now = this->now();
    while (const auto late = flights_->overdue(now)) finish(*flights_->find(*late), FinishReason::deadline);
    while (const auto late = flights_->stalled(now)) fail(*flights_->find(*late), faults_->reader_stalled());
    for (ReplicaIndex r = 0; r < crew_->replicas(); ++r) {
      if (const auto stuck = crew_->give_up_stuck_batcher(r, now)) step_stuck(r, *stuck);
    }
    keep_batchers();
    end_drain(now);
    dispatch();
  }

 private:
  enum class GeneratorIs { idle, busy };

  TimePoint now() { return self_->clock().now(); }

  Admission refuse(Error error) {
    accounts_->refused(error);
    return {0, std::move(error)};
  }

  Error engine_failed() const { return {Errc::fault, "the engine has failed: " + crew_->failure(), 0}; }

  // ---- handing out ----

  /// Gives waiting requests to generators. The one in front waits until there is KV memory for it; none
  /// overtakes it for being smaller, so that large requests are not starved. Where its client has fewer
  /// places than others, they make way.
  void dispatch() {
    crew_->keep_generators(now());
    for (Flight* flight = flights_->next(); flight != nullptr; flight = flights_->next()) {
      const KvNeed need = flights_->need(*flight);
      const std::vector<ReplicaIndex> up = crew_->up();
      const auto they = flights_->who_makes_way_for(*flight, [&](const std::vector<RequestId>& gone) {
        return crew_->generator_available(now(), gone.size()) && placement_->has_room(up, need, gone);
      });
      kept_waiting_ = flight->id;
      if (!they) break;
      flights_->start_next();
      for (const RequestId id : *they) preempt(*flights_->find(id));
      flight->berth = placement_->take(up, flight->id, flight->text(), need).value();
      assign(*flight);
    }
    accounts_->now_are(*flights_, *placement_, ending_.asked_for());
    set_timer();
  }

  void assign(Flight& flight) {
    flight.generator = crew_->take_generator();
    flight.sequence = next_sequence_++;
    accounts_->assigned(flight, now());
    const BatcherActor& batcher = crew_->batcher(flight.berth.replica);
    self_->send(batcher, OpenSequence{flight.sequence, flight.berth.promised});
    self_->send(flight.generator, flight.assignment(batcher));
  }

  // ---- taking back ----

  /// Takes the request from its generator, which is told to stop if it still works on it, and frees its KV
  /// pages. The generator's later messages are of an old epoch.
  void release(Flight& flight, GeneratorIs generator) {
    if (!flight.generator) return;
    if (const BatcherActor& batcher = crew_->batcher(flight.berth.replica))
      self_->send(batcher, CloseSequence{flight.sequence});
    if (generator == GeneratorIs::busy && crew_->alive(flight.generator))
      self_->send(flight.generator, Abandon{flight.id, flight.epoch});
    if (!crew_->give_back(flight.generator)) self_->send(flight.generator, Quit{});
    flight.generator = nullptr;
    placement_->give_back(flight.berth);
    ++flight.epoch;
  }

  /// Takes a place back. The request is replayed when it is its turn again; its reader notices a pause.
  void preempt(Flight& flight) {
    release(flight, GeneratorIs::busy);
    accounts_->preempted();
    flights_->wait_in_queue(flight);
  }

  /// Ends it with the error that the fault comes to, or lets it wait for another generator.
  void recover(Flight& flight, const std::optional<Error>& verdict) {
    release(flight, GeneratorIs::busy);
    if (verdict) return fail(flight, *verdict);
    accounts_->replayed();
    flights_->wait_again(flight);
  }

  /// The one answer of a request that did not fail.
  void finish(Flight& flight, FinishReason reason, GeneratorIs generator = GeneratorIs::busy) {
    if (flight.generator) placement_->computed(flight.berth, flight.text());
    // A generator that ends its answer has sent all text; of one that is interrupted some may be held back.
    auto held = generator == GeneratorIs::busy ? flight.held_back(config_.model->tokenizer()) : std::nullopt;
    if (held) self_->send(flight.submission.sink, flight.token(*std::move(held)));
    release(flight, generator);
    const StreamEnd end = flight.end(reason, now());
    flights_->drained(end.usage.prompt_tokens + end.usage.completion_tokens, now());
    accounts_->finished(end);
    conclude(flight, end);
  }

  /// The one answer of a request that did.
  void fail(Flight& flight, const Error& error) {
    release(flight, GeneratorIs::busy);
    accounts_->failed(error);
    conclude(flight, flight.error(error));
  }

  /// Whoever hears of the end finds it counted.
  template <class End>
  void conclude(const Flight& flight, const End& end) {
    const auto sink = flight.submission.sink;
    flights_->erase(flight.id);
    accounts_->now_are(*flights_, *placement_, ending_.asked_for());
    self_->send(sink, end);
    if (ending_.asked_for() && flights_->empty()) complete_drain();
  }

  // ---- supervision ----

  void keep_batchers() {
    std::string why;
    for (ReplicaIndex r = 0; r < crew_->replicas(); ++r) {
      if (!crew_->keep_batcher(r, now(), why)) batcher_down(r, why);
    }
  }

  void down(const caf::down_msg& m) {
    if (const auto replica = crew_->find_batcher(m.source))
      return batcher_down(*replica, caf::to_string(m.reason));
    const GeneratorActor dead = crew_->find_generator(m.source);
    if (!dead) return;
    crew_->generator_died(dead, caf::to_string(m.reason), now());
    go_on([&](const Flight& flight) { return flight.generator == dead; },
          [&](Flight& flight) { return faults_->interrupted(flight); });
  }

  void batcher_down(ReplicaIndex replica, const std::string& why) {
    crew_->batcher_died(replica, why, now());
    placement_->emptied(replica);
    go_on([&](const Flight& flight) { return flight.runs_on(replica); },
          [&](Flight& flight) { return faults_->interrupted(flight); });
  }

  void step_stuck(ReplicaIndex replica, const std::vector<SequenceId>& sequences) {
    placement_->emptied(replica);
    go_on([&](const Flight& flight) { return flight.runs_on(replica); },
          [&](Flight& flight) { return faults_->step_stuck(flight, sequences); });
  }

  /// After a death: the requests that it `concerns` recover as `judge` says, or, after too many deaths, all
  /// get their error.
  template <class Concerns, class Judge>
  void go_on(Concerns concerns, Judge judge) {
    if (crew_->failed()) {
      while (const auto id = flights_->any()) fail(*flights_->find(*id), engine_failed());
      if (config_.quits_when_failed) self_->quit(make_error(engine_failed()));
    }
    for (const RequestId id : flights_->select(concerns)) {
      Flight& flight = *flights_->find(id);
      recover(flight, judge(flight));
    }
    dispatch();
  }

  /// Wakes the router for what is due next, and now and then while requests run: to watch their steps, and
  /// because glibc's condition variables can lose a wake-up before 2.41 (its bug 25847): CAF's workers then
  /// sleep beside a full queue until something else is put into it.
  void set_timer() {
    std::optional<TimePoint> next = flights_->next_deadline();
    const auto consider = [&](TimePoint t) { next = next ? std::min(*next, t) : t; };
    if (ending_.deadline()) consider(*ending_.deadline());
    if (flights_->running() > flights_->running_paused()) consider(now() + StepWatch::interval);
    if (const auto start = crew_->next_start(flights_->waiting() != 0, now())) consider(*start);
    if (const auto tick = next ? timer_.arm(*next, now()) : std::nullopt)
      self_->delayed_send(self_, tick->wait, RouterTick{tick->number});
  }

  /// Cancels what still runs when the time for it is over.
  void end_drain(TimePoint now) {
    if (!ending_.overdue(now)) return;
    while (const auto id = flights_->any()) finish(*flights_->find(*id), FinishReason::cancelled);
  }

  void complete_drain() {
    accounts_->now_are(*flights_, *placement_, ending_.asked_for());
    ending_.complete();
    self_->quit();
  }

  Self self_ = nullptr;
  RouterConfig config_;

  // Requests.
  std::optional<FlightBoard> flights_;
  std::optional<Accounts> accounts_;
  std::optional<FaultPolicy> faults_;
  std::optional<Crew> crew_;            // generators and batchers
  std::optional<Placement> placement_;  // of the flights that have a generator
  bool eviction_due_ = false;           // EvictTick is in the mailbox
  RequestId kept_waiting_ = 0;          // the last that was in front when dispatch() stopped there
  SequenceId next_sequence_ = 1;

  Ending ending_;
  WakeTimer timer_;
};

RouterActor::behavior_type router(RouterState::Self self, const RouterConfig& config) {
  self->state.start(self, config);
  return {
      [self](Submission& m) { return self->state.submit(m); },
      [self](const Cancel& m) { self->state.cancel(m); },
      [self](const Consumed& m) { self->state.consumed(m); },
      [self](const Drain& m) { return self->state.drain(m); },
      [self](Emission& m) { self->state.emission(m); },
      [self](const Ended& m) { self->state.ended(m); },
      [self](const Faulted& m) { self->state.faulted(m); },
      [self](const RouterTick& m) { self->state.tick(m); },
      [self](EvictTick) { self->state.evict(); },
  };
}

}  // namespace

RouterActor spawn_router(caf::actor_system& system, const RouterConfig& config) {
  return system.spawn(router, config);
}

}  // namespace troupe
