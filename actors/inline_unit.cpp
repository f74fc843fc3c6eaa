#include "actors/inline_unit.hpp"

#include <caf/actor_system.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>
#include <cstddef>
#include <utility>

namespace troupe {

void InlineUnit::run_woken() {
  // As many as CAF's workers let an actor handle at once; more belong to them.
  constexpr std::size_t messages_max = 16;
  const WokenActors receivers = std::exchange(woken_, {});
  for (caf::resumable* receiver : receivers) {
    if (receiver->resume(this, messages_max) == caf::resumable::resume_later) {
      woken_.push_back(receiver);
    } else {
      caf::intrusive_ptr_release(receiver);
    }
  }
}

void run_woken(caf::actor_system& system, WokenActors actors) {
  InlineUnit unit(system);
  unit.woken_ = std::move(actors);
  unit.run_woken();
  unit.run_woken();
  leave_to_workers(system, unit.woken_);
}

void leave_to_workers(caf::actor_system& system, const WokenActors& actors) {
  for (caf::resumable* actor : actors) system.scheduler().enqueue(actor);
}

}  // namespace troupe
