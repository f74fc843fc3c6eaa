#include "actors/validate.hpp"

#include <algorithm>
#include <string>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "model/kv_cache.hpp"
#include "model/model_parts.hpp"
#include "model/sampler.hpp"

namespace troupe {
namespace {

constexpr std::size_t client_key_bytes_max = 256;
constexpr std::size_t stop_texts_max = 16;
constexpr std::size_t stop_tokens_max = 4096;
constexpr std::size_t stop_text_bytes_max = 1024;

Error bad(std::string message) {
  return {Errc::bad_argument, std::move(message), 0};
}

Status validate_stops(const std::vector<std::string>& stops) {
  if (stops.size() > stop_texts_max) {
    return bad("there are " + std::to_string(stops.size()) + " stop texts; at most " +
               std::to_string(stop_texts_max) + " are allowed");
  }
  for (const std::string& stop : stops) {
    if (stop.empty()) return bad("a stop text is empty; leave it out to have none");
    if (stop.size() > stop_text_bytes_max) {
      return bad("a stop text has " + std::to_string(stop.size()) + " bytes; at most " +
                 std::to_string(stop_text_bytes_max) + " are allowed");
    }
    if (!is_valid_utf8(stop))
      return bad("a stop text is no valid UTF-8; answers are, so it could never match");
  }
  return {};
}

Status validate_work(const Work& work, const Model& model, std::uint32_t context_tokens,
                     std::size_t kv_pages_max) {
  const std::size_t vocab_size = model.info().vocab_size;
  const GenerationOptions& options = work.options;
  if (work.prompt.empty()) {
    return bad(
        "the prompt has no tokens, and the model needs one to go on from; give at least one (an empty text "
        "has one where the vocabulary puts BOS in front)");
  }
  // Sizes before contents: a prompt of any length is refused at once.
  if (work.prompt.size() >= context_tokens) {
    return Error{Errc::context_exceeded, "the prompt has " + std::to_string(work.prompt.size()) +
                                             " tokens, but the context of " + std::to_string(context_tokens) +
                                             " must hold it and at least one more; shorten the prompt or " +
                                             "raise context_tokens (--context)"};
  }
  const std::size_t tokens = std::min<std::size_t>(work.prompt.size() + options.max_tokens, context_tokens);
  if (KvCache::pages_for(tokens) > kv_pages_max) {
    return Error{Errc::too_large, "the request needs " + std::to_string(tokens) +
                                      " positions of KV cache, but there are only " +
                                      std::to_string(kv_pages_max * page_tokens) +
                                      "; lower max_tokens, or raise kv_bytes_max (--kv-bytes)"};
  }
  TROUPE_TRY_STATUS(validate(options.sampling, vocab_size));
  TROUPE_TRY_STATUS(validate_tokens(work.prompt, "the prompt", vocab_size));
  // Those of a conversation's template came on top.
  if (options.stop_tokens.size() > stop_tokens_max + model.parts().chat->end_tokens().size()) {
    return bad("there are " + std::to_string(options.stop_tokens.size()) + " stop tokens; at most " +
               std::to_string(stop_tokens_max) + " are allowed");
  }
  TROUPE_TRY_STATUS(validate_tokens(options.stop_tokens, "stop_tokens", vocab_size));
  return validate_stops(options.stop);
}

}  // namespace

Status validate(const Submission& submission, const Model& model, std::uint32_t context_tokens,
                std::size_t kv_pages_max) {
  if (submission.priority > Priority::high) return bad("the priority is none of low, normal, high");
  if (submission.client_key.size() > client_key_bytes_max) {
    return bad("the client key has " + std::to_string(submission.client_key.size()) + " bytes; at most " +
               std::to_string(client_key_bytes_max) + " are allowed");
  }
  return validate_work(*submission.work, model, context_tokens, kv_pages_max);
}

}  // namespace troupe
