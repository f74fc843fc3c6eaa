#include "actors/router.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>

#include "actors/flight_board.hpp"
#include "actors/restart_budget.hpp"
#include "actors/validate.hpp"
#include "base/check.hpp"
#include "base/log.hpp"
#include "model/kv_cache.hpp"

namespace troupe {
namespace {

using std::chrono::milliseconds;

class RouterState {
 public:
  using Self = RouterActor::stateful_pointer<RouterState>;

  RouterState() = default;
  /// However the router ends, so do its generators and its batcher.
  ~RouterState() {
    for (const GeneratorActor& generator : generators_) caf::anon_send(generator, Quit{});
    if (batcher_) caf::anon_send(batcher_, Quit{});
  }
  RouterState(const RouterState&) = delete;
  RouterState& operator=(const RouterState&) = delete;

  void start(Self self, const RouterConfig& config) {
    self_ = self;
    config_ = config;
    const EngineOptions& o = config_.options;
    flights_.emplace(o.queue_requests_max, o.queue_tokens_max, o.context_tokens);
    budget_.emplace(o.restarts_max, milliseconds(o.restart_window_ms), milliseconds(o.restart_backoff_ms));
    self_->set_down_handler([this](caf::down_msg& m) { down(m); });
    start_batcher();
  }

  // ---- from the embedder ----

  Admission submit(Submission& m) {
    if (draining_) return refuse({Errc::draining, "the engine is stopping and takes no new requests", 0});
    if (failed_) return refuse(*failed_);
    const TimePoint now = this->now();
    if (m.deadline && *m.deadline <= now)
      return refuse({Errc::deadline, "the deadline has passed already", 0});
    const EngineOptions& o = config_.options;
    const Status valid = validate(m, *config_.model, o.context_tokens, config_.kv_pages_max);
    if (!valid) return refuse(valid.error());
    const Flight* flight = flights_->admit(m, now);
    if (flight == nullptr) return refuse(flights_->queue_full(*m.work));
    const RequestId id = flight->id;
    bump(config_.counters->requests_admitted);
    config_.counters->prompt_tokens.fetch_add(flight->submission.work->prompt.size(),
                                              std::memory_order_relaxed);
    dispatch();
    set_timer();
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
    if (flight->generator) self_->send(flight->generator, Credit{m.request, flight->epoch, m.tokens});
  }

  caf::typed_response_promise<Drained> drain(const Drain& m) {
    draining_ = true;
    auto promise = self_->make_response_promise<Drained>();
    drained_.push_back(promise);
    drain_deadline_ = std::min(drain_deadline_.value_or(TimePoint::max()), now() + milliseconds(m.drain_ms));
    set_timer();
    if (flights_->empty()) complete_drain();
    return promise;
  }

  // ---- from generators ----

  void emission(Emission& m) {
    Flight* flight = flights_->current(m.request, m.epoch);
    if (flight == nullptr) return;
    if (m.event.token == no_token) {
      if (flight->tail_delivered) return;
      flight->tail_delivered = true;
    } else {
      TROUPE_CHECK(m.event.index == flight->emitted.size());
      if (!flight->first_token) flight->first_token = now();
      flight->emitted.push_back(m.event.token);
      flight->alone = false;  // past the step that it was suspected of breaking
      bump(config_.counters->completion_tokens);
    }
    self_->send(flight->submission.sink, flight->token(std::move(m.event)));
  }

  void ended(const Ended& m) {
    Flight* flight = flights_->current(m.request, m.epoch);
    if (flight == nullptr) return;
    release(*flight, GeneratorIs::idle);
    finish(*flight, m.reason);
    dispatch();
  }

  /// A step with it failed: once more, alone; a second time is its own fault.
  void faulted(const Faulted& m) {
    Flight* flight = flights_->current(m.request, m.epoch);
    if (flight == nullptr) return;
    release(*flight, GeneratorIs::idle);
    if (m.final || flight->alone || ++flight->replays > config_.options.replays_max) {
      fail(*flight, m.error);
    } else {
      log_warning("request " + std::to_string(m.request) + " is replayed alone: " + m.error.message);
      flight->alone = true;
      replay(*flight);
    }
    dispatch();
  }

  void tick(const RouterTick& m) {
    if (m.number != timer_number_) return;
    timer_.reset();
    const TimePoint now = this->now();
    while (const auto late = flights_->overdue(now)) finish(*flights_->find(*late), FinishReason::deadline);
    if (!batcher_ && !failed_ && now >= batcher_not_before_) start_batcher();
    if (drain_deadline_ && *drain_deadline_ <= now) {
      while (const auto id = flights_->any()) finish(*flights_->find(*id), FinishReason::cancelled);
    }
    dispatch();
    set_timer();
  }

 private:
  enum class GeneratorIs { idle, busy };

  TimePoint now() { return self_->clock().now(); }

  Admission refuse(Error error) {
    bump(config_.counters->requests_refused);
    return {0, std::move(error)};
  }

  // ---- handing out ----

  /// Gives waiting requests to generators. The one in front waits until there is KV memory for it; none
  /// overtakes it for being smaller, so that large requests are not starved.
  void dispatch() {
    while (batcher_ && generator_available()) {
      Flight* flight = flights_->next();
      if (flight == nullptr) break;
      const std::size_t pages = KvCache::pages_for(flights_->tokens_max(*flight));
      if (pages > config_.kv_pages_max - pages_used_) break;
      flights_->start_next();
      flight->pages = pages;
      assign(*flight);
    }
    publish(config_.counters->requests_queued, flights_->waiting());
  }

  bool generator_available() {
    if (!idle_.empty()) return true;
    return !failed_ && generators_.size() < config_.options.pool_max && now() >= generator_not_before_;
  }

  GeneratorActor take_generator() {
    if (!idle_.empty()) {
      GeneratorActor reused = std::move(idle_.back());
      idle_.pop_back();
      return reused;
    }
    const GeneratorActor fresh = *generators_.insert(config_.make_generator()).first;
    self_->monitor(fresh);
    publish(config_.counters->generators, generators_.size());
    return fresh;
  }

  void assign(Flight& flight) {
    flight.generator = take_generator();
    flight.sequence = next_sequence_++;
    pages_used_ += flight.pages;
    publish(config_.counters->requests_running, ++running_);
    if (!flight.started) flight.started = now();
    self_->send(batcher_, OpenSequence{flight.sequence, flights_->tokens_max(flight)});

    Assignment job;
    job.request = flight.id;
    job.epoch = flight.epoch;
    job.sequence = flight.sequence;
    job.work = flight.submission.work;
    job.emitted = flight.emitted;
    job.windowed = flight.submission.window_tokens != 0;
    job.credit = flight.credit();
    job.alone = flight.alone;
    job.batcher = batcher_;
    self_->send(flight.generator, std::move(job));
  }

  // ---- taking back ----

  /// Takes the request from its generator, which is told to stop if it still works on it, and frees its KV
  /// pages. The generator's later messages are of an old epoch.
  void release(Flight& flight, GeneratorIs generator) {
    if (!flight.generator) return;
    if (batcher_) self_->send(batcher_, CloseSequence{flight.sequence});
    if (generators_.count(flight.generator) != 0) {
      if (generator == GeneratorIs::busy) {
        self_->send(flight.generator, Abandon{flight.id, flight.epoch});
      }
      idle_.push_back(flight.generator);
    }
    flight.generator = nullptr;
    pages_used_ -= flight.pages;
    flight.pages = 0;
    publish(config_.counters->requests_running, --running_);
    ++flight.epoch;
  }

  void replay(const Flight& flight) {
    bump(config_.counters->replays);
    flights_->wait_again(flight);
  }

  /// The one answer of a request that did not fail.
  void finish(Flight& flight, FinishReason reason) {
    release(flight, GeneratorIs::busy);
    const TimePoint now = this->now();
    const StreamEnd end = flight.end(reason, now);
    flights_->drained(end.usage.prompt_tokens + end.usage.completion_tokens, now);
    const bool whole = reason == FinishReason::stop || reason == FinishReason::length;
    bump(whole ? config_.counters->requests_finished : config_.counters->requests_cancelled);
    self_->send(flight.submission.sink, end);
    forget(flight);
  }

  /// The one answer of a request that did.
  void fail(Flight& flight, const Error& error) {
    release(flight, GeneratorIs::busy);
    bump(config_.counters->requests_failed);
    self_->send(flight.submission.sink, flight.error(error));
    forget(flight);
  }

  void forget(const Flight& flight) {
    flights_->erase(flight.id);
    if (draining_ && flights_->empty()) complete_drain();
  }

  // ---- supervision ----

  void start_batcher() {
    try {
      batcher_ = config_.make_batcher();
      self_->monitor(batcher_);
    } catch (const std::exception& e) {  // no thread, or no memory
      batcher_down(caf::make_error(caf::sec::runtime_error, e.what()));
    }
  }

  void down(const caf::down_msg& m) {
    if (batcher_ && m.source == batcher_.address()) return batcher_down(m.reason);
    const auto died = [&](const GeneratorActor& generator) { return m.source == generator.address(); };
    const auto dead = std::find_if(generators_.begin(), generators_.end(), died);
    if (dead == generators_.end()) return;
    const GeneratorActor generator = *dead;
    generators_.erase(dead);
    idle_.erase(std::remove(idle_.begin(), idle_.end(), generator), idle_.end());
    publish(config_.counters->generators, generators_.size());
    if (const auto pause = restart("a generator ended", m.reason)) generator_not_before_ = now() + *pause;
    interrupt(flights_->select([&](const Flight& flight) { return flight.generator == generator; }));
    dispatch();
    set_timer();
  }

  void batcher_down(const caf::error& reason) {
    batcher_ = nullptr;
    if (const auto pause = restart("the batcher ended", reason)) batcher_not_before_ = now() + *pause;
    interrupt(flights_->select([](const Flight& flight) { return flight.generator != nullptr; }));
    set_timer();
  }

  /// The pause before a restart; nullopt when there were too many: then nothing is restarted any more, and
  /// what waits or runs gets its error.
  std::optional<milliseconds> restart(const std::string& what, const caf::error& reason) {
    const auto pause = budget_->spend(now());
    if (pause) {
      bump(config_.counters->restarts);
      log_warning(what + " (" + caf::to_string(reason) + ") and is started again");
      return pause;
    }
    failed_ =
        Error{Errc::fault, "the engine has failed: " + what + " (" + caf::to_string(reason) + ") more than " +
                               std::to_string(config_.options.restarts_max) + " times in " +
                               std::to_string(config_.options.restart_window_ms) + " ms"};
    log_error(failed_->message);
    while (const auto id = flights_->any()) fail(*flights_->find(*id), *failed_);
    if (config_.quits_when_failed) self_->quit(make_error(*failed_));
    return std::nullopt;
  }

  /// Requests whose generator or batcher died go on elsewhere, unless they have been through that too often.
  void interrupt(const std::vector<RequestId>& ids) {
    for (const RequestId id : ids) {
      Flight& flight = *flights_->find(id);
      release(flight, GeneratorIs::busy);
      if (++flight.replays <= config_.options.replays_max) {
        replay(flight);
      } else {
        fail(flight,
             {Errc::fault, "the request was interrupted " + std::to_string(flight.replays) + " times", 0});
      }
    }
  }

  /// Wakes the router for what is due next. Never sleeps long: a pending timer keeps an actor alive after its
  /// end, and with it the whole system.
  void set_timer() {
    std::optional<TimePoint> next = flights_->next_deadline();
    const auto consider = [&](TimePoint t) { next = next ? std::min(*next, t) : t; };
    if (drain_deadline_) consider(*drain_deadline_);
    if (!batcher_ && !failed_) consider(batcher_not_before_);
    if (batcher_ && !failed_ && flights_->waiting() != 0 && idle_.empty() &&
        generators_.size() < config_.options.pool_max) {
      consider(generator_not_before_);
    }
    if (!next) return;
    const TimePoint now = this->now();
    const TimePoint wake = std::clamp<TimePoint>(*next, now, now + timer_max);
    if (timer_ && *timer_ <= wake) return;
    timer_ = wake;
    self_->delayed_send(self_, wake - now, RouterTick{++timer_number_});
  }

  void complete_drain() {
    for (auto& promise : drained_) promise.deliver(Drained{});
    drained_.clear();
    self_->quit();
  }

  static constexpr milliseconds timer_max{20};

  Self self_ = nullptr;
  RouterConfig config_;

  // Requests.
  std::optional<FlightBoard> flights_;
  SequenceId next_sequence_ = 1;
  std::uint32_t running_ = 0;
  std::size_t pages_used_ = 0;  // of the KV cache, reserved for running flights

  // Generators and batcher.
  std::set<GeneratorActor> generators_;  // alive
  std::vector<GeneratorActor> idle_;     // of them
  BatcherActor batcher_;                 // null between its death and its restart
  std::optional<RestartBudget> budget_;
  TimePoint batcher_not_before_{};
  TimePoint generator_not_before_{};
  std::optional<Error> failed_;  // restarts are used up

  // Ending.
  bool draining_ = false;
  std::optional<TimePoint> drain_deadline_;
  std::vector<caf::typed_response_promise<Drained>> drained_;

  // The timer that is armed, and how many there have been.
  std::optional<TimePoint> timer_;
  std::uint64_t timer_number_ = 0;
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
  };
}

}  // namespace

RouterActor spawn_router(caf::actor_system& system, const RouterConfig& config) {
  return system.spawn(router, config);
}

}  // namespace troupe
