#include "actors/router.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <deque>
#include <set>
#include <unordered_map>

#include "actors/admission.hpp"
#include "actors/restart_budget.hpp"
#include "base/check.hpp"
#include "base/log.hpp"
#include "model/kv_cache.hpp"

namespace troupe {
namespace {

using std::chrono::milliseconds;

double ms_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

/// A request between its admission and its one answer.
struct Flight {
  RequestId id = 0;
  Submission submission;
  std::vector<Token> emitted;  // delivered to the sink
  bool tail_delivered = false;
  std::uint32_t consumed = 0;  // of the emitted, by the reader
  std::uint32_t epoch = 0;     // raised whenever the request leaves a generator
  std::uint32_t replays = 0;   // after generators or batchers died
  bool alone = false;          // the step of its next token failed once
  GeneratorActor generator;    // null while it waits
  SequenceId sequence = 0;
  std::size_t pages = 0;  // reserved in the KV cache while it runs
  TimePoint submitted;
  std::optional<TimePoint> started;
  std::optional<TimePoint> first_token;
};

class RouterState {
 public:
  using Self = RouterActor::stateful_pointer<RouterState>;

  RouterState() = default;

  void start(Self self, const RouterConfig& config) {
    self_ = self;
    config_ = config;
    const EngineOptions& o = config_.options;
    queue_.emplace(o.queue_requests_max, o.queue_tokens_max);
    budget_.emplace(o.restarts_max, milliseconds(o.restart_window_ms), milliseconds(o.restart_backoff_ms));
    self_->set_down_handler([this](caf::down_msg& m) { down(m); });
    start_batcher();
  }

  // ---- from the embedder ----

  Admission submit(Submission& m) {
    if (draining_) return refuse({Errc::draining, "the engine is stopping and takes no new requests", 0});
    if (failed_) return refuse({Errc::fault, "the engine has failed: " + failure_, 0});
    const TimePoint now = this->now();
    if (m.deadline && *m.deadline <= now)
      return refuse({Errc::deadline, "the deadline has passed already", 0});
    if (auto valid = validate(*m.work, *config_.model, config_.options.context_tokens, config_.kv_pages_max);
        !valid) {
      return refuse(valid.error());
    }
    const std::uint64_t cost = m.work->prompt.size() + m.work->options.max_tokens;
    const RequestId id = next_request_++;
    if (!queue_->push({id, cost, m.priority, m.client_key, m.deadline.value_or(TimePoint::max())})) {
      return refuse(queue_full(cost));
    }
    bump(config_.counters->requests_admitted);
    config_.counters->prompt_tokens.fetch_add(m.work->prompt.size(), std::memory_order_relaxed);
    Flight& flight = flights_[id];
    flight.id = id;
    flight.submission = std::move(m);
    flight.submitted = now;
    if (flight.submission.deadline) {
      deadlines_.emplace(*flight.submission.deadline, id);
      set_timer();
    }
    dispatch();
    return {id, std::nullopt};
  }

  void cancel(const Cancel& m) {
    if (flights_.count(m.request) != 0) finish(m.request, FinishReason::cancelled);
    dispatch();
  }

  void consumed(const Consumed& m) {
    const auto found = flights_.find(m.request);
    if (found == flights_.end()) return;
    Flight& flight = found->second;
    flight.consumed += m.tokens;
    if (flight.generator) self_->send(flight.generator, Credit{m.request, flight.epoch, m.tokens});
  }

  caf::typed_response_promise<Drained> drain(const Drain& m) {
    draining_ = true;
    auto promise = self_->make_response_promise<Drained>();
    drained_.push_back(promise);
    const TimePoint deadline = now() + milliseconds(m.drain_ms);
    drain_deadline_ = drain_deadline_ ? std::min(*drain_deadline_, deadline) : deadline;
    set_timer();
    if (flights_.empty()) complete_drain();
    return promise;
  }

  // ---- from generators ----

  void emission(Emission& m) {
    Flight* flight = current(m.request, m.epoch);
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
    self_->send(flight->submission.sink, StreamToken{flight->submission.tag, std::move(m.event)});
  }

  void ended(const Ended& m) {
    Flight* flight = current(m.request, m.epoch);
    if (flight == nullptr) return;
    release(*flight, false);
    finish(m.request, m.reason);
    dispatch();
  }

  /// A step with it failed, or its logits were useless: once more, alone; a second time is its own fault.
  void faulted(const Faulted& m) {
    Flight* flight = current(m.request, m.epoch);
    if (flight == nullptr) return;
    release(*flight, false);
    if (flight->alone) {
      fail(m.request, m.error);
    } else {
      log_warning("request " + std::to_string(m.request) + " is replayed alone: " + m.error.message);
      flight->alone = true;
      replay(m.request);
    }
    dispatch();
  }

  void tick() {
    timer_set_ = false;
    const TimePoint now = this->now();
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
      finish(deadlines_.begin()->second, FinishReason::deadline);
    }
    if (!batcher_ && !failed_ && now >= batcher_not_before_) start_batcher();
    if (drain_deadline_ && *drain_deadline_ <= now) {
      while (!flights_.empty()) finish(flights_.begin()->first, FinishReason::cancelled);
    }
    dispatch();
    set_timer();
  }

 private:
  TimePoint now() { return self_->clock().now(); }

  template <class Counter>
  static void bump(Counter& counter) {
    counter.fetch_add(1, std::memory_order_relaxed);
  }

  Admission refuse(Error error) {
    bump(config_.counters->requests_refused);
    return {0, std::move(error)};
  }

  Error queue_full(std::uint64_t cost) {
    const auto wait = drain_rate_.time_for(cost);
    return {Errc::queue_full,
            "the queue is full with " + std::to_string(queue_->requests()) + " requests and " +
                std::to_string(queue_->tokens()) + " tokens; retry in " + std::to_string(wait.count()) +
                " ms",
            static_cast<std::uint32_t>(wait.count())};
  }

  /// The flight, if `epoch` is its present one.
  Flight* current(RequestId id, std::uint32_t epoch) {
    const auto found = flights_.find(id);
    return found != flights_.end() && found->second.epoch == epoch ? &found->second : nullptr;
  }

  // ---- handing out ----

  /// Gives waiting requests to generators: interrupted ones first, then the queue's order. The one in front
  /// waits until there is KV memory for it; none overtakes it, so that large requests are not starved.
  void dispatch() {
    while (batcher_ && !failed_ && generator_available()) {
      const std::optional<RequestId> next =
          replays_.empty() ? queue_->peek() : std::optional(replays_.front());
      if (!next) break;
      Flight& flight = flights_.at(*next);
      const std::size_t pages = KvCache::pages_for(tokens_max(flight));
      if (pages > config_.kv_pages_max - pages_used_) break;
      if (replays_.empty()) {
        queue_->pop();
      } else {
        replays_.pop_front();
      }
      flight.pages = pages;
      assign(*next, flight);
    }
    config_.counters->requests_queued.store(static_cast<std::uint32_t>(queue_->requests() + replays_.size()),
                                            std::memory_order_relaxed);
    config_.counters->requests_running.store(running_, std::memory_order_relaxed);
  }

  std::uint32_t tokens_max(const Flight& flight) const {
    const Work& work = *flight.submission.work;
    const std::size_t tokens = work.prompt.size() + work.options.max_tokens;
    return static_cast<std::uint32_t>(std::min<std::size_t>(tokens, config_.options.context_tokens));
  }

  bool generator_available() {
    return !idle_.empty() ||
           (generators_.size() < config_.options.pool_max && now() >= generator_not_before_);
  }

  GeneratorActor take_generator() {
    if (idle_.empty()) {
      GeneratorActor fresh = config_.make_generator();
      self_->monitor(fresh);
      generators_.insert(fresh);
      publish_generators();
      return fresh;
    }
    GeneratorActor reused = std::move(idle_.back());
    idle_.pop_back();
    return reused;
  }

  void assign(RequestId id, Flight& flight) {
    flight.generator = take_generator();
    flight.sequence = next_sequence_++;
    pages_used_ += flight.pages;
    ++running_;
    if (!flight.started) flight.started = now();
    self_->send<caf::message_priority::high>(batcher_, OpenSequence{flight.sequence, tokens_max(flight)});

    Assignment job;
    job.request = id;
    job.epoch = flight.epoch;
    job.sequence = flight.sequence;
    job.work = flight.submission.work;
    job.emitted = flight.emitted;
    job.windowed = flight.submission.window_tokens != 0;
    const std::size_t ahead =
        flight.emitted.size() - std::min<std::size_t>(flight.consumed, flight.emitted.size());
    const std::uint32_t window = flight.submission.window_tokens;
    job.credit = window - static_cast<std::uint32_t>(std::min<std::size_t>(ahead, window));
    job.alone = flight.alone;
    job.batcher = batcher_;
    self_->send(flight.generator, std::move(job));
  }

  // ---- taking back ----

  /// Takes the request from its generator and frees its KV pages. `busy` is whether the generator still works
  /// on it; then it is told to stop. Its later messages are of an old epoch.
  void release(Flight& flight, bool busy) {
    if (!flight.generator) return;
    if (batcher_) self_->send<caf::message_priority::high>(batcher_, CloseSequence{flight.sequence});
    if (generators_.count(flight.generator) != 0) {
      if (busy) self_->send<caf::message_priority::high>(flight.generator, Abandon{flight.id, flight.epoch});
      idle_.push_back(flight.generator);
    }
    flight.generator = nullptr;
    pages_used_ -= flight.pages;
    flight.pages = 0;
    --running_;
    ++flight.epoch;
  }

  void replay(RequestId id) {
    bump(config_.counters->replays);
    replays_.push_back(id);
  }

  /// The one answer of a request that did not fail.
  void finish(RequestId id, FinishReason reason) {
    const TimePoint now = this->now();
    const Flight& flight = take_out(id);
    const Submission& submission = flight.submission;
    StreamEnd end;
    end.tag = submission.tag;
    end.reason = reason;
    end.usage.prompt_tokens = static_cast<std::uint32_t>(submission.work->prompt.size());
    end.usage.completion_tokens = static_cast<std::uint32_t>(flight.emitted.size());
    end.timings.queue_ms = ms_between(flight.submitted, flight.started.value_or(now));
    end.timings.ttft_ms = flight.first_token ? ms_between(flight.submitted, *flight.first_token) : 0;
    end.timings.total_ms = ms_between(flight.submitted, now);
    self_->send(submission.sink, end);
    drain_rate_.add(end.usage.prompt_tokens + end.usage.completion_tokens, now);
    const bool whole = reason == FinishReason::stop || reason == FinishReason::length;
    bump(whole ? config_.counters->requests_finished : config_.counters->requests_cancelled);
    forget(id);
  }

  /// The one answer of a request that did.
  void fail(RequestId id, const Error& error) {
    const Flight& flight = take_out(id);
    self_->send(flight.submission.sink, StreamError{flight.submission.tag, error});
    bump(config_.counters->requests_failed);
    forget(id);
  }

  /// Takes a request out of wherever it is: queue, replays, generator, timers.
  Flight& take_out(RequestId id) {
    Flight& flight = flights_.at(id);
    release(flight, true);
    queue_->erase(id);
    replays_.erase(std::remove(replays_.begin(), replays_.end(), id), replays_.end());
    if (flight.submission.deadline) deadlines_.erase({*flight.submission.deadline, id});
    return flight;
  }

  void forget(RequestId id) {
    flights_.erase(id);
    if (draining_ && flights_.empty()) complete_drain();
  }

  // ---- supervision ----

  void start_batcher() {
    batcher_ = config_.make_batcher();
    self_->monitor(batcher_);
  }

  void down(const caf::down_msg& m) {
    if (batcher_ && m.source == batcher_.address()) return batcher_down(m.reason);
    const auto dead = std::find_if(generators_.begin(), generators_.end(),
                                   [&](const GeneratorActor& g) { return m.source == g.address(); });
    if (dead == generators_.end()) return;
    const GeneratorActor generator = *dead;
    generators_.erase(dead);
    idle_.erase(std::remove(idle_.begin(), idle_.end(), generator), idle_.end());
    publish_generators();
    if (const auto pause = restart("a generator ended", m.reason)) generator_not_before_ = now() + *pause;
    interrupt([&](const Flight& flight) { return flight.generator == generator; });
    dispatch();
    set_timer();
  }

  void batcher_down(const caf::error& reason) {
    batcher_ = nullptr;
    if (const auto pause = restart("the batcher ended", reason)) batcher_not_before_ = now() + *pause;
    interrupt([](const Flight& flight) { return flight.generator != nullptr; });
    set_timer();
  }

  /// The pause before a restart; nullopt when there were too many: then nothing is restarted any more, and
  /// what waits or runs gets its error.
  std::optional<milliseconds> restart(const char* what, const caf::error& reason) {
    bump(config_.counters->restarts);
    const auto pause = budget_->spend(now());
    if (pause) {
      log_warning(std::string(what) + " (" + caf::to_string(reason) + ") and is started again");
      return pause;
    }
    failure_ = std::string(what) + " more than " + std::to_string(config_.options.restarts_max) +
               " times in " + std::to_string(config_.options.restart_window_ms) + " ms";
    log_error(failure_);
    failed_ = true;
    while (!flights_.empty())
      fail(flights_.begin()->first, {Errc::fault, "the engine has failed: " + failure_, 0});
    return std::nullopt;
  }

  /// Requests whose generator or batcher died go on elsewhere, unless they have been through that too often.
  template <class Predicate>
  void interrupt(Predicate concerns) {
    std::vector<RequestId> ids;
    for (const auto& [id, flight] : flights_) {
      if (concerns(flight)) ids.push_back(id);
    }
    for (const RequestId id : ids) {
      Flight& flight = flights_.at(id);
      release(flight, true);
      if (++flight.replays <= config_.options.replays_max) {
        replay(id);
      } else {
        fail(id,
             {Errc::fault, "the request was interrupted " + std::to_string(flight.replays) + " times", 0});
      }
    }
  }

  void publish_generators() {
    config_.counters->generators.store(static_cast<std::uint32_t>(generators_.size()),
                                       std::memory_order_relaxed);
  }

  /// Wakes the router for what is due next. Never sleeps long: a pending timer keeps an actor alive after its
  /// end, and with it the whole system.
  void set_timer() {
    if (timer_set_) return;
    std::optional<TimePoint> next;
    const auto consider = [&](TimePoint t) { next = next ? std::min(*next, t) : t; };
    if (!deadlines_.empty()) consider(deadlines_.begin()->first);
    if (drain_deadline_) consider(*drain_deadline_);
    if (!batcher_ && !failed_) consider(batcher_not_before_);
    if (generator_not_before_ > now()) consider(generator_not_before_);
    if (!next) return;
    timer_set_ = true;
    const auto wait = std::clamp<std::chrono::nanoseconds>(*next - now(), milliseconds(0), timer_max);
    self_->delayed_send(self_, wait, RouterTick{});
  }

  void complete_drain() {
    for (auto& promise : drained_) promise.deliver(Drained{});
    drained_.clear();
    for (const GeneratorActor& generator : generators_) self_->send(generator, Quit{});
    if (batcher_) self_->send(batcher_, Quit{});
    self_->quit();
  }

  static constexpr milliseconds timer_max{20};

  Self self_ = nullptr;
  RouterConfig config_;

  // Requests.
  RequestId next_request_ = 1;
  SequenceId next_sequence_ = 1;
  std::unordered_map<RequestId, Flight> flights_;        // bounded by the queue and the pool
  std::optional<AdmissionQueue> queue_;                  // flights that wait for their first generator
  std::deque<RequestId> replays_;                        // flights that wait for another one
  std::set<std::pair<TimePoint, RequestId>> deadlines_;  // of flights
  std::uint32_t running_ = 0;
  std::size_t pages_used_ = 0;  // of the KV cache, reserved for running flights
  DrainRate drain_rate_;

  // Generators and batcher.
  std::set<GeneratorActor> generators_;  // alive
  std::vector<GeneratorActor> idle_;     // of them
  BatcherActor batcher_;                 // null between its death and its restart
  std::optional<RestartBudget> budget_;
  TimePoint batcher_not_before_{};
  TimePoint generator_not_before_{};
  bool failed_ = false;
  std::string failure_;

  // Ending.
  bool draining_ = false;
  std::optional<TimePoint> drain_deadline_;
  std::vector<caf::typed_response_promise<Drained>> drained_;
  bool timer_set_ = false;
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
      [self](const RouterTick&) { self->state.tick(); },
  };
}

}  // namespace

RouterActor spawn_router(caf::actor_system& system, const RouterConfig& config) {
  return system.spawn(router, config);
}

}  // namespace troupe
