#pragma once
// Troupe for programs that are CAF actors already: router, generators and batcher in your actor_system,
// behind one typed actor. CAF 0.17.6; link caf_core.
//
//   caf::actor_system system{config};
//   auto troupe = troupe::spawn_troupe(system, model);                           // Result<TroupeActor>
//   self->request(*troupe, caf::infinite, troupe::GenerationRequest{.prompt = "Once"})
//       .then([](troupe::Generation& answer) { … }, [](caf::error& e) { … troupe::error_of(e) … });
//
// Messages share memory by pointer, so they stay in one process; they need no registration in the config.
//
// Ends. Each GenerationRequest is answered once, each OpenStream once, and after StreamOpened come any number
// of StreamTokens and then exactly one StreamEnd or StreamError. So that this holds whoever dies:
//   * The client dies (the sender of a GenerationRequest, the reader of a stream), for whatever reason: its
//     requests are cancelled within one step, and no other notices. A client whose request() timed out, but
//     which lives, is still worked for: set GenerationRequest::deadline.
//   * The reader lives, but gives no credit for EngineOptions::reader_stall_ms_max while its window is full:
//     its stream ends with reader_stalled.
//   * The troupe is sent an exit message: it refuses newcomers (draining), lets what runs finish for
//     EngineOptions::drain_ms, cancels the rest, and ends with the message's reason. A second exit message
//     cancels at once. A message with reason normal, from a linked actor, is ignored, as CAF's actors do.
//     Drain does the same and answers when it is done; the actor then ends with reason normal.
//   * exit_reason::kill does not wait: every open request gets an error with code fault, and all actors end.
//   * The last handle goes away: the troupe ends when nothing is open, with reason unreachable.
//   * A generator or batcher dies: nobody notices; the request is replayed. When restarts are used up
//     (EngineOptions::restarts_max), every open request gets its error, and the troupe ends with an error of
//     category `troupe` and code fault: watch it with monitor() and spawn another, or link to it.
//
// Set scheduler.policy to "sharing" in your config, unless you know better: CAF's default polls when idle.

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <caf/error.hpp>
#include <caf/fwd.hpp>
#include <caf/replies_to.hpp>
#include <caf/typed_actor.hpp>
#include <cstdint>
#include <memory>
#include <optional>

#include "troupe/engine.hpp"
#include "troupe/error.hpp"
#include "troupe/generation.hpp"
#include "troupe/metrics.hpp"
#include "troupe/model.hpp"
#include "troupe/options.hpp"

namespace troupe {

/// Names an admitted request, and no other one for as long as its troupe lives. Never 0.
using RequestId = std::uint64_t;

/// Names a stream for its reader, who chose it; it is only repeated.
using StreamTag = std::uint64_t;

// ---- troupe → the reader of a stream ---------------------------------------------------------------------

struct StreamToken {
  StreamTag tag = 0;
  RequestId request = 0;
  TokenEvent event;
};

struct StreamEnd {
  StreamTag tag = 0;
  RequestId request = 0;
  FinishReason reason = FinishReason::stop;
  Usage usage;
  Timings timings;
};

struct StreamError {
  StreamTag tag = 0;
  RequestId request = 0;
  Error error;
};

/// Who reads streams. An actor that handles more converts to it; one without a type does with
/// caf::actor_cast<StreamReader>(actor).
using StreamReader =
    caf::typed_actor<caf::reacts_to<StreamToken>, caf::reacts_to<StreamEnd>, caf::reacts_to<StreamError>>;

// ---- client → troupe -------------------------------------------------------------------------------------

/// Begins an answer that `reader` gets token by token.
struct OpenStream {
  GenerationRequest request;
  StreamReader reader;  ///< must not be null
  StreamTag tag = 0;
  /// Tokens that are sent ahead of Consumed; then the generator pauses, so that no mailbox grows beyond this.
  /// 0: EngineOptions::stream_window_tokens.
  std::uint32_t window_tokens = 0;
};

/// The request was admitted. Sent before its first token.
struct StreamOpened {
  StreamTag tag = 0;
  RequestId request = 0;
};

/// The reader has dealt with `tokens` more StreamTokens (those whose token is no_token do not count), and may
/// be sent as many more. More than it was sent counts as all that it was sent.
struct Consumed {
  RequestId request = 0;
  std::uint32_t tokens = 0;
};

/// Ends a request within one step; StreamEnd comes with FinishReason::cancelled. Requests that have ended, or
/// never were, are nobody's business. Overtakes other messages when sent with message_priority::high.
struct Cancel {
  RequestId request = 0;
};

/// Admit nothing more; answer when everything has ended, cancelling what still runs after drain_ms. The
/// troupe ends after the answer.
struct Drain {
  std::uint32_t drain_ms = 0;
};
struct Drained {};

/// Asks for the numbers of the moment, or for those and the distributions: see metrics.hpp.
struct GetStats {};
struct GetMetrics {};

/// Errors are caf::error values made by make_error(): refusals as those of Engine::open_stream().
using TroupeActor = caf::typed_actor<
    caf::replies_to<GenerationRequest>::with<Generation>, caf::replies_to<OpenStream>::with<StreamOpened>,
    caf::reacts_to<Consumed>, caf::reacts_to<Cancel>, caf::replies_to<Drain>::with<Drained>,
    caf::replies_to<GetStats>::with<EngineStats>, caf::replies_to<GetMetrics>::with<Metrics>>;

/// Spawns a troupe in `system`, which must outlive it: the system's destructor waits for its end, which comes
/// with the last handle or an exit message (and not before a forward pass returns, should one be stuck).
/// options.threads are kernel threads beside those of the system. Errors: those of Engine::start().
Result<TroupeActor> spawn_troupe(caf::actor_system& system, std::shared_ptr<const Model> model,
                                 const EngineOptions& options = {});

// ---- errors ----------------------------------------------------------------------------------------------

/// The category of Troupe's errors among caf::error's; their codes are the numbers of Errc.
constexpr caf::atom_value error_atom = caf::atom("troupe");

/// An Error as CAF carries it, with all its fields.
caf::error make_error(const Error& error);

/// The Error that make_error() was given; nullopt for errors of others, e.g. CAF's own.
std::optional<Error> error_of(const caf::error& error);

/// Lets actor_system::render() put Troupe's errors into words.
void render_errors(caf::actor_system_config& config);

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::EngineStats)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Generation)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::GenerationRequest)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::StreamToken)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::StreamEnd)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::StreamError)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::OpenStream)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::StreamOpened)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Consumed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Cancel)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Drain)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Drained)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::GetStats)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::GetMetrics)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Metrics)
