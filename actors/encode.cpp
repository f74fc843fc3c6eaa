#include "actors/encode.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "actors/own_thread.hpp"
#include "base/guard.hpp"
#include "base/try.hpp"
#include "model/model_parts.hpp"

namespace troupe {

namespace {

/// A text that is to be continued.
Result<std::vector<Token>> encode_text(const std::string& text, const Tokenizer& tokenizer) {
  EncodeOptions encode;
  encode.add_special = true;
  TROUPE_TRY(auto tokens, tokenizer.encode(text, encode));
  // It does not end here, whatever the vocabulary does with whole texts.
  if (tokenizer.adds_eos() && !tokens.empty() && tokens.back() == tokenizer.eos()) tokens.pop_back();
  return tokens;
}

}  // namespace

Result<std::shared_ptr<const Work>> make_work(const GenerationRequest& request, const Model& model) {
  return guarded("encoding a prompt", [&]() -> Result<std::shared_ptr<const Work>> {
    auto work = std::make_shared<Work>();
    work->options = request.options;
    if (const auto* tokens = std::get_if<std::vector<Token>>(&request.prompt)) {
      work->prompt = *tokens;
    } else if (const auto* chat = std::get_if<ChatPrompt>(&request.prompt)) {
      TROUPE_TRY(work->prompt, model.encode_chat(*chat));
      const auto& ends = model.parts().chat->end_tokens();
      auto& stops = work->options.stop_tokens;
      if (!request.options.ignore_eos) stops.insert(stops.end(), ends.begin(), ends.end());
    } else {
      TROUPE_TRY(work->prompt, encode_text(std::get<std::string>(request.prompt), model.tokenizer()));
    }
    return std::shared_ptr<const Work>(std::move(work));
  });
}

Submission submission_of(const GenerationRequest& request, std::uint32_t window_tokens) {
  Submission submission;
  submission.deadline = request.deadline;
  submission.priority = request.priority;
  submission.client_key = request.client_key;
  submission.window_tokens = window_tokens;
  return submission;
}

Encoded encode(const Encode& job) {
  const auto refused = [&](Error error) {
    return Encoded{nullptr, job.place->gate().refused(std::move(error))};
  };
  if (job.request->deadline && *job.request->deadline <= std::chrono::steady_clock::now())
    return refused({Errc::deadline, "the deadline has passed before the prompt was encoded", 0});
  const auto work = make_work(*job.request, *job.model);
  return work ? Encoded{*work, std::nullopt} : refused(work.error());
}

EncoderActor spawn_encoder(caf::actor_system& system) {
  require_threads(1);
  return system.spawn<caf::detached>([](EncoderActor::pointer) -> EncoderActor::behavior_type {
    return {[](const Encode& job) { return encode(job); }};
  });
}

bool encodes_slowly(const GenerationRequest& request) {
  if (std::holds_alternative<ChatPrompt>(request.prompt)) return true;  // a template may take its time
  constexpr std::size_t text_bytes_max = 512;
  const auto* text = std::get_if<std::string>(&request.prompt);
  return text != nullptr && text->size() > text_bytes_max;
}

}  // namespace troupe
