#include "actors/event_sink.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <unordered_map>

namespace troupe {
namespace {

class EventSinkState {
 public:
  EventSinkState() = default;

  /// The listener of a tag, taken out when `last`.
  std::shared_ptr<StreamListener> listener(StreamTag tag, bool last) {
    const auto found = listeners_.find(tag);
    if (found == listeners_.end()) return nullptr;
    auto listener = found->second;
    if (last) listeners_.erase(found);
    return listener;
  }

  void attach(const Attach& m) { listeners_.emplace(m.tag, m.listener); }

  void router_down() {
    for (const auto& [tag, listener] : listeners_) {
      listener->on_error({Errc::fault, "the router has ended; the engine cannot go on", 0});
    }
    listeners_.clear();
  }

 private:
  std::unordered_map<StreamTag, std::shared_ptr<StreamListener>> listeners_;  // open streams
};

EventSinkActor::behavior_type event_sink(EventSinkActor::stateful_pointer<EventSinkState> self) {
  self->set_down_handler([self](const caf::down_msg&) { self->state.router_down(); });
  return {
      [self](StreamToken& m) {
        if (const auto listener = self->state.listener(m.tag, false)) listener->on_token(std::move(m.event));
      },
      [self](const StreamEnd& m) {
        if (const auto listener = self->state.listener(m.tag, true))
          listener->on_end(m.reason, m.usage, m.timings);
      },
      [self](StreamError& m) {
        if (const auto listener = self->state.listener(m.tag, true)) listener->on_error(std::move(m.error));
      },
      [self](const Attach& m) { self->state.attach(m); },
      [self](const Detach& m) { self->state.listener(m.tag, true); },
      [self](const RouterActor& router) { self->monitor(router); },
      [self](const Quit&) { self->quit(); },
  };
}

}  // namespace

EventSinkActor spawn_event_sink(caf::actor_system& system) {
  return system.spawn(event_sink);
}

}  // namespace troupe
