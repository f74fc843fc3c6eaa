#include "actors/event_sink.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <exception>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/log.hpp"

namespace troupe {
namespace {

class EventSinkState {
 public:
  EventSinkState() = default;

  void attach(const Attach& m) { listeners_.emplace(m.tag, m.listener); }
  void detach(StreamTag tag) { listeners_.erase(tag); }

  void token(StreamToken& m) {
    const auto found = listeners_.find(m.tag);
    if (found == listeners_.end()) return;
    const std::shared_ptr<StreamListener> listener = found->second;
    try {
      listener->on_token(std::move(m.event));
    } catch (const std::exception& e) {
      listeners_.erase(m.tag);
      answer(*listener, [&](StreamListener& l) { l.on_error(listener_failed(e)); });
    }
  }

  template <class Answer>
  void end(StreamTag tag, Answer give) {
    const auto found = listeners_.find(tag);
    if (found == listeners_.end()) return;
    const std::shared_ptr<StreamListener> listener = std::move(found->second);
    listeners_.erase(found);
    answer(*listener, give);
  }

  void router_down() {
    const auto orphans = std::exchange(listeners_, {});
    for (const auto& [tag, listener] : orphans) {
      answer(*listener, [](StreamListener& l) {
        l.on_error({Errc::fault, "the router has ended; the engine cannot go on"});
      });
    }
  }

 private:
  static Error listener_failed(const std::exception& e) {
    return {Errc::fault, std::string("the reader of the stream failed: ") + e.what()};
  }

  template <class Answer>
  static void answer(StreamListener& listener, Answer give) {
    if (!listener.claim_answer()) return;
    try {
      give(listener);
    } catch (const std::exception& e) {
      log_error(listener_failed(e).message);
    }
  }

  std::unordered_map<StreamTag, std::shared_ptr<StreamListener>> listeners_;  // open streams
};

EventSinkActor::behavior_type event_sink(EventSinkActor::stateful_pointer<EventSinkState> self) {
  self->set_down_handler([self](const caf::down_msg&) { self->state.router_down(); });
  return {
      [self](StreamToken& m) { self->state.token(m); },
      [self](const StreamEnd& m) {
        self->state.end(m.tag, [&](StreamListener& l) { l.on_end(m.reason, m.usage, m.timings); });
      },
      [self](StreamError& m) {
        self->state.end(m.tag, [&](StreamListener& l) { l.on_error(std::move(m.error)); });
      },
      [self](const Attach& m) { self->state.attach(m); },
      [self](const Detach& m) { self->state.detach(m.tag); },
      [self](const RouterActor& router) { self->monitor(router); },
      [self](const Quit&) { self->quit(); },
  };
}

}  // namespace

EventSinkActor spawn_event_sink(caf::actor_system& system) {
  return system.spawn(event_sink);
}

}  // namespace troupe
