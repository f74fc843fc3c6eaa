#include "actors/event_sink.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/exit_reason.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <exception>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/log.hpp"

namespace troupe {
namespace {

/// Of what is being handled.
Error listener_failed() {
  std::string what = "with something that is no std::exception";
  try {
    throw;
  } catch (const std::exception& e) {
    what = e.what();
  } catch (...) {  // said above
  }
  return {Errc::fault, "the reader of the stream failed: " + what};
}

template <class Answer>
void answer(StreamListener& listener, Answer give) {
  if (!listener.claim_answer()) return;
  try {
    give(listener);
  } catch (...) {
    log_error(listener_failed().message);
  }
}

class EventSinkState {
 public:
  using Self = EventSinkActor::stateful_pointer<EventSinkState>;

  EventSinkState() = default;
  /// However the sink ends, nobody waits for ever.
  ~EventSinkState() {
    fail_all({Errc::fault, "what hands out the engine's answers has ended; the engine cannot go on"});
    caf::anon_send_exit(encoder_, caf::exit_reason::user_shutdown);
  }
  EventSinkState(const EventSinkState&) = delete;
  EventSinkState& operator=(const EventSinkState&) = delete;

  void start(Self self, EncoderActor encoder) {
    self_ = self;
    encoder_ = std::move(encoder);
    self_->set_down_handler([this](const caf::down_msg& m) { router_down(m.reason); });
  }

  void serve(const RouterActor& router) {
    router_ = router;
    self_->monitor(router);
  }

  void submit(Submit& m) {
    const StreamTag tag = m.submission.tag;
    listeners_.emplace(tag, std::move(m.listener));
    encode_then(self_, encoder_, std::move(m.job),
                [this, submission = std::make_shared<Submission>(std::move(m.submission))](Encoded encoded) {
                  if (encoded.refusal) return refused(submission->tag, *encoded.refusal);
                  submission->work = std::move(encoded.work);
                  submission->sink = self_;
                  ask_router(*submission);
                });
  }

  void attach(const Attach& m) { listeners_.emplace(m.tag, m.listener); }
  void detach(StreamTag tag) { listeners_.erase(tag); }

  void token(StreamToken& m) {
    hand(m.tag, m.request, [&](StreamListener& l) { l.on_token(std::move(m.event)); });
  }

  template <class Answer>
  void end(StreamTag tag, Answer give) {
    const auto found = listeners_.find(tag);
    if (found == listeners_.end()) return;
    const std::shared_ptr<StreamListener> listener = std::move(found->second);
    listeners_.erase(found);
    answer(*listener, give);
  }

  /// Those that are still being encoded when it ends as it should hear what newcomers do.
  void router_down(const caf::error& reason) {
    router_ = nullptr;
    fail_all(reason ? Error{Errc::fault, "the router has ended; the engine cannot go on"} : engine_stopped());
  }

  void quit() {
    fail_all(engine_stopped());
    self_->quit();
  }

 private:
  void fail_all(const Error& error) {
    for (const auto& [tag, listener] : std::exchange(listeners_, {}))
      answer(*listener, [&](StreamListener& l) { l.on_error(error); });
  }

  void ask_router(Submission& submission) {
    const StreamTag tag = submission.tag;
    if (!router_) return refused(tag, engine_stopped());
    self_->request(router_, caf::infinite, std::move(submission))
        .then(
            [this, tag](Admission& admission) {
              if (admission.refusal) return refused(tag, *admission.refusal);
              hand(tag, admission.request, [&](StreamListener& l) { l.on_admitted(admission.request); });
            },
            [this, tag](caf::error&) { refused(tag, engine_stopped()); });
  }

  void refused(StreamTag tag, const Error& error) {
    end(tag, [&](StreamListener& l) { l.on_error(error); });
  }

  /// Gives an event that does not end its stream, unless the listener cannot take it.
  template <class Give>
  void hand(StreamTag tag, RequestId request, Give give) {
    const auto found = listeners_.find(tag);
    if (found == listeners_.end()) return;
    const std::shared_ptr<StreamListener> listener = found->second;
    try {
      give(*listener);
    } catch (...) {
      const Error error = listener_failed();
      listeners_.erase(tag);
      self_->send<caf::message_priority::high>(router_, Cancel{request});
      answer(*listener, [&](StreamListener& l) { l.on_error(error); });
    }
  }

  Self self_ = nullptr;
  EncoderActor encoder_;
  RouterActor router_;                                                        // null when it has ended
  std::unordered_map<StreamTag, std::shared_ptr<StreamListener>> listeners_;  // open streams
};

EventSinkActor::behavior_type event_sink(EventSinkState::Self self, EncoderActor encoder) {
  self->state.start(self, std::move(encoder));
  return {
      [self](StreamToken& m) { self->state.token(m); },
      [self](const StreamEnd& m) {
        self->state.end(m.tag, [&](StreamListener& l) { l.on_end(m.reason, m.usage, m.timings); });
      },
      [self](StreamError& m) {
        self->state.end(m.tag, [&](StreamListener& l) { l.on_error(std::move(m.error)); });
      },
      [self](Submit& m) { self->state.submit(m); },
      [self](const Attach& m) { self->state.attach(m); },
      [self](const Detach& m) { self->state.detach(m.tag); },
      [self](const RouterActor& router) { self->state.serve(router); },
      [self](const Quit&) { self->state.quit(); },
  };
}

}  // namespace

Error engine_stopped() {
  return {Errc::draining, "the engine has stopped", 0};
}

std::shared_ptr<StreamListener> answered_for_certain(std::shared_ptr<StreamListener> listener) {
  StreamListener* const same = listener.get();
  return {same, [owner = std::move(listener)](StreamListener* l) noexcept {
            answer(*l, [](StreamListener& unanswered) { unanswered.on_error(engine_stopped()); });
          }};
}

EventSinkActor spawn_event_sink(caf::actor_system& system) {
  return system.spawn(event_sink, spawn_encoder(system));
}

}  // namespace troupe
