#pragma once
// Lets an actor with a thread of its own run the actors that it wakes on that thread, instead of waking
// others.

#include <caf/execution_unit.hpp>
#include <caf/resumable.hpp>
#include <vector>

namespace troupe {

/// What an actor sends within run() to idle actors is handled within run() as well: on the same thread, one
/// receiver after the other. Whom these wake in turn goes to CAF's workers as always, once all have run: so
/// an actor that several of them send to is woken once. Receivers that are at work elsewhere go on there.
///
/// For detached actors only, whose thread keeps nobody waiting while it runs others. One owner.
class InlineUnit final : public caf::execution_unit {
 public:
  explicit InlineUnit(caf::actor_system& system) : caf::execution_unit(&system) {}

  /// Calls `send_all`, in which `owner` sends; then the receivers run.
  template <class Owner, class SendAll>
  void run(Owner& owner, SendAll send_all) {
    const Borrowed<Owner> borrowed(owner, *this);
    send_all();
  }

  void exec_later(caf::resumable* job) override { woken_.push_back(job); }

 private:
  /// The owner sends by way of the unit as long as this lives.
  template <class Owner>
  class Borrowed {
   public:
    Borrowed(Owner& owner, InlineUnit& unit) : owner_(owner), unit_(unit), before_(owner.context()) {
      owner_.context(&unit_);
    }
    ~Borrowed() {
      owner_.context(before_);
      unit_.run_woken();
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;

   private:
    Owner& owner_;
    InlineUnit& unit_;
    caf::execution_unit* before_;
  };

  void run_woken();

  std::vector<caf::resumable*> woken_;  // each holds a reference
};

}  // namespace troupe
