#include "actors/inline_unit.hpp"

#include <caf/actor_system.hpp>
#include <caf/scheduler/abstract_coordinator.hpp>
#include <cstddef>
#include <utility>

namespace troupe {

void InlineUnit::run_woken() {
  // As many as CAF's workers let an actor handle at once; more belong to them.
  constexpr std::size_t messages_max = 16;
  const std::vector<caf::resumable*> receivers = std::exchange(woken_, {});
  for (caf::resumable* receiver : receivers) {
    if (receiver->resume(this, messages_max) == caf::resumable::resume_later) {
      woken_.push_back(receiver);
    } else {
      caf::intrusive_ptr_release(receiver);
    }
  }
  for (caf::resumable* job : std::exchange(woken_, {})) system().scheduler().enqueue(job);
}

}  // namespace troupe
