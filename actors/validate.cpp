#include <algorithm>
#include <string>

#include "actors/router.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"
#include "model/kv_cache.hpp"
#include "model/sampler.hpp"

namespace troupe {
namespace {

constexpr std::size_t stop_texts_max = 16;
constexpr std::size_t stop_text_bytes_max = 1024;

Error bad(std::string message) {
  return {Errc::bad_argument, std::move(message), 0};
}

Status validate_tokens(const std::vector<Token>& tokens, const char* what, std::size_t vocab_size) {
  for (const Token token : tokens) {
    if (token < 0 || static_cast<std::size_t>(token) >= vocab_size) {
      return bad(std::string(what) + " has token " + std::to_string(token) + "; the vocabulary has 0 to " +
                 std::to_string(vocab_size - 1));
    }
  }
  return {};
}

}  // namespace

Status validate(const Work& work, const Model& model, std::uint32_t context_tokens,
                std::size_t kv_pages_max) {
  const std::size_t vocab_size = model.info().vocab_size;
  const GenerationOptions& options = work.options;
  TROUPE_TRY_STATUS(validate(options.sampling, vocab_size));
  TROUPE_TRY_STATUS(validate_tokens(work.prompt, "the prompt", vocab_size));
  TROUPE_TRY_STATUS(validate_tokens(options.stop_tokens, "stop_tokens", vocab_size));
  if (options.stop.size() > stop_texts_max) {
    return bad("there are " + std::to_string(options.stop.size()) + " stop texts; at most " +
               std::to_string(stop_texts_max) + " are allowed");
  }
  for (const std::string& stop : options.stop) {
    if (stop.empty()) return bad("a stop text is empty; leave it out to have none");
    if (stop.size() > stop_text_bytes_max) {
      return bad("a stop text has " + std::to_string(stop.size()) + " bytes; at most " +
                 std::to_string(stop_text_bytes_max) + " are allowed");
    }
    if (!is_valid_utf8(stop))
      return bad("a stop text is no valid UTF-8; answers are, so it could never match");
  }
  if (work.prompt.empty()) {
    return bad(
        "the prompt is empty and this vocabulary puts no BOS token in front of it; give at least one token");
  }
  if (work.prompt.size() >= context_tokens) {
    return Error{Errc::context_exceeded,
                 "the prompt has " + std::to_string(work.prompt.size()) + " tokens, but the context of " +
                     std::to_string(context_tokens) +
                     " must hold it and at least one more; shorten the prompt or " + "raise the context",
                 0};
  }
  const std::size_t tokens = std::min<std::size_t>(work.prompt.size() + options.max_tokens, context_tokens);
  if (KvCache::pages_for(tokens) > kv_pages_max) {
    return Error{Errc::too_large,
                 "the request needs " + std::to_string(tokens) +
                     " positions of KV cache, but there are only " +
                     std::to_string(kv_pages_max * page_tokens) + "; lower max_tokens or raise kv_bytes_max",
                 0};
  }
  return {};
}

}  // namespace troupe
