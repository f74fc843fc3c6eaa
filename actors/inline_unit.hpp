#pragma once
// Lets an actor with a thread of its own run the actors that it wakes on that thread, instead of waking
// others.

#include <caf/execution_unit.hpp>
#include <caf/resumable.hpp>
#include <utility>
#include <vector>

namespace troupe {

/// Actors that have messages and wait for a thread. Each holds a reference, so they are to be run or
/// scheduled.
using WokenActors = std::vector<caf::resumable*>;

/// What an actor sends within run() to idle actors is handled within run() as well: on the same thread, one
/// receiver after the other. Whom these wake in turn goes on when all have run: so an actor that several of
/// them send to is woken once. Receivers that are at work elsewhere go on there.
///
/// For detached actors only, whose thread keeps nobody waiting while it runs others. One owner.
class InlineUnit final : public caf::execution_unit {
 public:
  explicit InlineUnit(caf::actor_system& system) : caf::execution_unit(&system) {}

  /// Calls `send_all`, in which `owner` sends; then the receivers run. Returns whom they woke, and who of
  /// them has more to do.
  template <class Owner, class SendAll>
  WokenActors run(Owner& owner, SendAll send_all) {
    {
      const Borrowed<Owner> borrowed(owner, *this);
      send_all();
    }
    run_woken();
    return std::exchange(woken_, {});
  }

  void exec_later(caf::resumable* job) override { woken_.push_back(job); }

 private:
  /// The owner sends by way of the unit as long as this lives.
  template <class Owner>
  class Borrowed {
   public:
    Borrowed(Owner& owner, InlineUnit& unit) : owner_(owner), before_(owner.context()) {
      owner_.context(&unit);
    }
    ~Borrowed() { owner_.context(before_); }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;

   private:
    Owner& owner_;
    caf::execution_unit* before_;
  };

  friend void run_woken(caf::actor_system& system, WokenActors actors);
  void run_woken();

  WokenActors woken_;
};

/// Runs the actors on the calling thread, then those whom they wake; what is left to do is scheduled.
void run_woken(caf::actor_system& system, WokenActors actors);

/// Leaves the actors to CAF's workers.
void leave_to_workers(caf::actor_system& system, const WokenActors& actors);

}  // namespace troupe
