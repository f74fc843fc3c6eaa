#pragma once
// Where streams leave the actors: hands the router's events to listeners in ordinary threads.

#include <atomic>
#include <memory>

#include "actors/encode.hpp"
#include "actors/messages.hpp"

namespace troupe {

/// One stream's far end. Called by the sink actor, in order: on_admitted if it was submitted by Submit and
/// not refused, any number of on_token, then exactly one of on_end and on_error. Must not block: it runs on a
/// thread that the actors share.
class StreamListener {
 public:
  virtual ~StreamListener() = default;

  /// True for the first caller only, on whatever thread: who gets it gives the stream's one answer. A refusal
  /// and the end of the router can both want to.
  bool claim_answer() noexcept { return !answered_.exchange(true); }

  virtual void on_admitted(RequestId) {}
  virtual void on_token(TokenEvent event) = 0;
  virtual void on_end(FinishReason reason, const Usage& usage, const Timings& timings) = 0;
  virtual void on_error(Error error) = 0;

 private:
  std::atomic<bool> answered_{false};
};

/// What a request is told that an engine which has ended can no longer take.
Error engine_stopped();

/// The same listener, which answers engine_stopped() when it is let go of without an answer: so that a
/// message that nobody receives any more is an answer too.
std::shared_ptr<StreamListener> answered_for_certain(std::shared_ptr<StreamListener> listener);

/// Encodes and submits a request, and attaches its listener. A refusal is the listener's on_error.
struct Submit {
  Encode job;
  Submission submission;  ///< all but work, sink
  std::shared_ptr<StreamListener> listener;
};

/// Registers the listener for a tag, before the Submission that names the tag is sent. Dropped after its end.
struct Attach {
  StreamTag tag = 0;
  std::shared_ptr<StreamListener> listener;
};

/// The Submission was refused: no events will come.
struct Detach {
  StreamTag tag = 0;
};

using EventSinkActor =
    StreamReader::extend<caf::reacts_to<Submit>, caf::reacts_to<Attach>, caf::reacts_to<Detach>,
                         caf::reacts_to<RouterActor>, caf::reacts_to<Quit>>;

/// Spawns the sink of an embedder, one for any number of streams. Send it the router's handle first,
/// to submit to and to watch: should the router end while streams are open, each of them gets an on_error. A
/// listener that throws gets an on_error too and disturbs no other. Ends on Quit. Throws
/// std::system_error when there is no thread for its encoder.
EventSinkActor spawn_event_sink(caf::actor_system& system);

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Submit)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Attach)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Detach)
