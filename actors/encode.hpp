#pragma once
// A request's prompt as token ids: the first thing that is done with it.

#include <caf/fwd.hpp>
#include <memory>

#include "actors/gate.hpp"
#include "actors/messages.hpp"
#include "troupe/model.hpp"

namespace troupe {

/// What a request computes. Text is encoded with the vocabulary's BOS rule, and never ends with EOS: it is to
/// be continued. A conversation goes through the model's chat template, and its answer also ends where that
/// ends an assistant's turn, unless the options ignore ends. Errors: bad_argument (the vocabulary cannot
/// express the text), too_large (memory), those of Model::encode_chat().
Result<std::shared_ptr<const Work>> make_work(const GenerationRequest& request, const Model& model);

/// What a Submission takes from its request as it is; work, sink and tag are left out.
Submission submission_of(const GenerationRequest& request, std::uint32_t window_tokens);

/// Asks for make_work().
struct Encode {
  std::shared_ptr<const Model> model;
  std::shared_ptr<const GenerationRequest> request;
  std::shared_ptr<const Gate::Place> place;  ///< counts a refusal; let go of with this
};

struct Encoded {
  std::shared_ptr<const Work> work;  ///< null when refused
  std::optional<Error> refusal;
};

using EncoderActor = caf::typed_actor<caf::replies_to<Encode>::with<Encoded>>;

/// Does it, unless the request's deadline has passed already.
Encoded encode(const Encode& job);

/// Encodes prompts one after the other, on a thread of its own: however many wait and however long they are,
/// the actors that share CAF's threads do not wait with them. Ends when it is told to exit. Throws
/// std::system_error when there is no thread for it.
EncoderActor spawn_encoder(caf::actor_system& system);

/// Whether encoding would keep an actor from its other messages for longer (tens of microseconds) than it
/// takes to hand it to an encoder.
bool encodes_slowly(const GenerationRequest& request);

/// Calls `then(Encoded)` in `self`, now or, by way of the encoder, later.
template <class Self, class Then>
void encode_then(Self self, const EncoderActor& encoder, Encode job, Then then) {
  if (!encodes_slowly(*job.request)) return then(encode(job));
  self->request(encoder, caf::infinite, std::move(job))
      .then([then](Encoded& done) { then(std::move(done)); },
            [then](caf::error& error) {
              then(Encoded{nullptr, Error{Errc::fault, "encoding a prompt: " + caf::to_string(error)}});
            });
}

}  // namespace troupe

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Encode)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::Encoded)
