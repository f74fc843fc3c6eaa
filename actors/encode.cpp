#include "actors/encode.hpp"

#include <caf/event_based_actor.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "base/guard.hpp"
#include "base/try.hpp"

namespace troupe {

Result<std::shared_ptr<const Work>> make_work(const GenerationRequest& request, const Tokenizer& tokenizer) {
  return guarded("encoding a prompt", [&]() -> Result<std::shared_ptr<const Work>> {
    auto work = std::make_shared<Work>();
    work->options = request.options;
    if (const auto* tokens = std::get_if<std::vector<Token>>(&request.prompt)) {
      work->prompt = *tokens;
    } else {
      EncodeOptions encode;
      encode.add_special = true;
      TROUPE_TRY(work->prompt, tokenizer.encode(std::get<std::string>(request.prompt), encode));
      // A text that is to be continued does not end here, whatever the vocabulary does with whole texts.
      if (tokenizer.adds_eos() && !work->prompt.empty() && work->prompt.back() == tokenizer.eos())
        work->prompt.pop_back();
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

EncoderActor::behavior_type encoder(EncoderActor::pointer self) {
  return {
      [self](const Encode& job) {
        self->quit();
        const auto work = make_work(*job.request, job.model->tokenizer());
        return work ? Encoded{*work, std::nullopt} : Encoded{nullptr, work.error()};
      },
  };
}

bool encodes_slowly(const GenerationRequest& request) {
  constexpr std::size_t text_bytes_max = 4096;
  const auto* text = std::get_if<std::string>(&request.prompt);
  return text != nullptr && text->size() > text_bytes_max;
}

}  // namespace troupe
