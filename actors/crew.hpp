#pragma once
// The actors that work for a router, its generators and its batchers: who is alive, who is idle, and when one
// that died may be replaced. Sends nothing; the time is passed in.

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "actors/counters.hpp"
#include "actors/messages.hpp"
#include "actors/placement.hpp"
#include "actors/restart_budget.hpp"
#include "actors/step_lease.hpp"
#include "troupe/options.hpp"

namespace troupe {

/// One owner; not thread-safe.
class Crew {
 public:
  struct Spawn {  ///< what it gets its actors from; the router monitors them
    std::function<GeneratorActor()> generator;
    std::function<BatcherActor(ReplicaIndex, std::shared_ptr<StepLease>)> batcher;
  };

  Crew(const EngineOptions& options, Spawn spawn, std::shared_ptr<Counters> counters);

  // ---- generators ----

  /// Spawns those that a fixed pool lacks, unless there is a pause to make first.
  void keep_generators(TimePoint now);
  /// Whether there is one to take once so many of those that work have been given back.
  bool generator_available(TimePoint now, std::size_t given_back) const;
  /// An idle generator, or a new one; only when one is available.
  GeneratorActor take_generator();
  /// Its request is over; if it is still alive, it is idle again. False: it is to be told to quit instead.
  bool give_back(const GeneratorActor& generator);
  bool alive(const GeneratorActor& generator) const { return generators_.count(generator) != 0; }
  const std::set<GeneratorActor>& generators() const noexcept { return generators_; }

  // ---- batchers ----

  ReplicaIndex replicas() const noexcept { return static_cast<ReplicaIndex>(replicas_.size()); }
  /// Null between its death and its restart.
  const BatcherActor& batcher(ReplicaIndex replica) const { return replicas_[replica].batcher; }
  /// Those with a batcher.
  std::vector<ReplicaIndex> up() const;
  /// Starts the batcher if there is none and its pause is over. False when that failed: no thread or no
  /// memory; `why` says it, and its restart is to be considered as after a death.
  bool keep_batcher(ReplicaIndex replica, TimePoint now, std::string& why);

  /// Gives the batcher up when its step does not end: it counts as dead then, and this returns the sequences
  /// that took part in the step. What it holds stays alive until the step ends.
  std::optional<std::vector<SequenceId>> give_up_stuck_batcher(ReplicaIndex replica, TimePoint now);

  // ---- deaths ----

  /// Whom an actor's end concerns.
  std::optional<ReplicaIndex> find_batcher(const caf::actor_addr& address) const;
  GeneratorActor find_generator(const caf::actor_addr& address) const;  ///< null if it is none of them

  /// Strikes the dead from the list and counts a restart, unless it was told to quit. Afterwards failed()
  /// tells whether there were too many.
  void generator_died(const GeneratorActor& generator, const std::string& why, TimePoint now);
  void batcher_died(ReplicaIndex replica, const std::string& why, TimePoint now);

  /// Too many deaths: nothing is started any more. failure() says which.
  bool failed() const noexcept { return !failure_.empty(); }
  const std::string& failure() const noexcept { return failure_; }

  /// When something can be started that cannot now; `wanted` says whether a new generator would have work.
  std::optional<TimePoint> next_start(bool generator_wanted, TimePoint now) const;

 private:
  struct Replica {
    BatcherActor batcher;
    std::shared_ptr<StepLease> lease;  // of the batcher
    StepWatch step_watch;
    TimePoint not_before{};
  };

  std::string name_of(ReplicaIndex replica) const;
  const GeneratorActor& spawn_generator();
  /// Generators that were not told to quit.
  std::size_t working() const noexcept { return generators_.size() - leaving_.size(); }
  TimePoint not_before(const std::string& what, TimePoint now);
  void fail(const std::string& what);

  Spawn spawn_;
  std::shared_ptr<Counters> counters_;
  PoolShape pool_shape_;
  std::uint32_t pool_max_;
  std::uint32_t restarts_max_;
  std::uint32_t restart_window_ms_;
  RestartBudget budget_;
  std::set<GeneratorActor> generators_;  // alive
  std::vector<GeneratorActor> idle_;     // of them
  std::set<GeneratorActor> leaving_;     // of them, told to quit
  std::vector<Replica> replicas_;
  std::uint32_t step_stall_ms_max_;
  TimePoint generator_not_before_{};
  std::string failure_;
};

}  // namespace troupe
