#include "actors/crew.hpp"

#include <algorithm>
#include <exception>

#include "base/log.hpp"

namespace troupe {

using std::chrono::milliseconds;

namespace {

// A request that breaks every step it is in leaves two behind, the shared one and its own. Each holds a KV
// cache and kernel threads, so this is how much of the machine may be lost before it is better to say so. For
// each replica, since a replica's share of the machine is the smaller the more there are.
constexpr std::uint32_t stuck_batchers_max = 4;

}  // namespace

Crew::Crew(const EngineOptions& options, Spawn spawn, std::shared_ptr<Counters> counters)
    : spawn_(std::move(spawn)),
      counters_(std::move(counters)),
      pool_shape_(options.pool_shape),
      pool_max_(options.pool_max),
      restarts_max_(options.restarts_max),
      restart_window_ms_(options.restart_window_ms),
      budget_(options.restarts_max, milliseconds(options.restart_window_ms),
              milliseconds(options.restart_backoff_ms)),
      replicas_(options.replicas, Replica{{}, {}, StepWatch(milliseconds(options.step_stall_ms_max)), {}}),
      step_stall_ms_max_(options.step_stall_ms_max) {}

void Crew::keep_generators(TimePoint now) {
  if (pool_shape_ != PoolShape::fixed || failed() || now < generator_not_before_) return;
  while (working() < pool_max_) idle_.push_back(spawn_generator());
}

bool Crew::generator_available(TimePoint now, std::size_t given_back) const {
  const bool reuses = pool_shape_ != PoolShape::per_request;
  if (!idle_.empty() || (reuses && given_back != 0)) return true;
  return !failed() && working() - given_back < pool_max_ && now >= generator_not_before_;
}

GeneratorActor Crew::take_generator() {
  if (!idle_.empty()) {
    GeneratorActor reused = std::move(idle_.back());
    idle_.pop_back();
    return reused;
  }
  return spawn_generator();
}

const GeneratorActor& Crew::spawn_generator() {
  const auto fresh = generators_.insert(spawn_.generator()).first;
  publish(counters_->generators, working());
  return *fresh;
}

bool Crew::give_back(const GeneratorActor& generator) {
  if (!alive(generator)) return true;
  if (pool_shape_ == PoolShape::per_request) {
    leaving_.insert(generator);
    publish(counters_->generators, working());
    return false;
  }
  idle_.push_back(generator);
  return true;
}

std::vector<ReplicaIndex> Crew::up() const {
  std::vector<ReplicaIndex> up;
  for (ReplicaIndex replica = 0; replica < replicas(); ++replica) {
    if (batcher(replica)) up.push_back(replica);
  }
  return up;
}

bool Crew::keep_batcher(ReplicaIndex replica, TimePoint now, std::string& why) {
  Replica& r = replicas_[replica];
  if (r.batcher || failed() || now < r.not_before) return true;
  try {
    r.lease = std::make_shared<StepLease>();
    r.batcher = spawn_.batcher(replica, r.lease);
    r.step_watch = StepWatch(milliseconds(step_stall_ms_max_));  // each batcher counts its steps from 1
  } catch (const std::exception& e) {
    why = e.what();
    return false;
  }
  return true;
}

std::optional<std::vector<SequenceId>> Crew::give_up_stuck_batcher(ReplicaIndex replica, TimePoint now) {
  Replica& r = replicas_[replica];
  if (!r.batcher) return std::nullopt;
  const std::uint64_t step = r.lease->running();
  if (!r.step_watch.overdue(step, now)) return std::nullopt;
  // Counted first: it may return, and count itself off, at any time.
  const std::uint32_t stuck = counters_->stuck_batchers.fetch_add(1, std::memory_order_relaxed) + 1;
  auto sequences = r.lease->give_up(step);
  if (!sequences) {
    counters_->stuck_batchers.fetch_sub(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  // It counts no pages any more, and there may be no other that does.
  counters_->publish_pages(replica, 0);
  bump(counters_->step_stalls);
  batcher_died(replica,
               "a step of " + std::to_string(sequences->size()) + " sequences did not end in " +
                   std::to_string(step_stall_ms_max_) + " ms, step_stall_ms_max",
               now);
  if (!failed() && stuck > stuck_batchers_max * replicas())
    fail(std::to_string(stuck) + " steps do not end; what they hold would use up the machine");
  return sequences;
}

std::optional<ReplicaIndex> Crew::find_batcher(const caf::actor_addr& address) const {
  for (const ReplicaIndex replica : up()) {
    if (address == batcher(replica).address()) return replica;
  }
  return std::nullopt;
}

GeneratorActor Crew::find_generator(const caf::actor_addr& address) const {
  const auto found = std::find_if(generators_.begin(), generators_.end(),
                                  [&](const GeneratorActor& g) { return address == g.address(); });
  return found == generators_.end() ? GeneratorActor() : *found;
}

void Crew::generator_died(const GeneratorActor& generator, const std::string& why, TimePoint now) {
  generators_.erase(generator);
  idle_.erase(std::remove(idle_.begin(), idle_.end(), generator), idle_.end());
  const bool quit = leaving_.erase(generator) != 0;
  publish(counters_->generators, working());
  if (quit) return;
  generator_not_before_ = not_before("a generator ended (" + why + ")", now);
}

void Crew::batcher_died(ReplicaIndex replica, const std::string& why, TimePoint now) {
  replicas_[replica].batcher = nullptr;
  replicas_[replica].not_before = not_before(name_of(replica) + " ended (" + why + ")", now);
}

std::string Crew::name_of(ReplicaIndex replica) const {
  return replicas() == 1 ? "the batcher" : "batcher " + std::to_string(replica);
}

std::optional<TimePoint> Crew::next_start(bool generator_wanted, TimePoint now) const {
  if (failed()) return std::nullopt;
  std::optional<TimePoint> next;
  const auto consider = [&](TimePoint start) { next = std::min(start, next.value_or(start)); };
  for (const Replica& r : replicas_) {
    if (!r.batcher) consider(r.not_before);
  }
  // One that could start already waits for something else, KV pages: waking up for it would be a busy wait.
  const bool wanted = pool_shape_ == PoolShape::fixed || (generator_wanted && idle_.empty());
  if (wanted && working() < pool_max_ && generator_not_before_ > now) consider(generator_not_before_);
  return next;
}

/// Counts a restart; the end of the pause before it.
TimePoint Crew::not_before(const std::string& what, TimePoint now) {
  const auto pause = budget_.spend(now);
  if (pause) {
    bump(counters_->restarts);
    log_warning(what + " and is started again");
    return now + *pause;
  }
  fail(what + " more than " + std::to_string(restarts_max_) + " times in " +
       std::to_string(restart_window_ms_) + " ms");
  return now;
}

void Crew::fail(const std::string& what) {
  failure_ = what;
  log_error(failure_);
}

}  // namespace troupe
