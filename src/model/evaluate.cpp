#include "model/evaluate.hpp"

#include <algorithm>

#include "base/try.hpp"
#include "model/forward.hpp"

namespace troupe {

KvPrecision resolve_kv_precision(const Model& model, KvPrecision precision) noexcept {
  if (precision != KvPrecision::automatic) return precision;
  return model.info().weight_types == "F32" ? KvPrecision::f32 : KvPrecision::f16;
}

Result<std::uint32_t> resolve_context_tokens(const Model& model, std::uint32_t asked) {
  const std::uint32_t stated = model.info().context_tokens;
  if (model.parts().config.architecture.positions == PositionKind::rotary) {
    return asked != 0 ? asked : std::clamp<std::uint32_t>(stated, 512, 8192);
  }
  if (asked > stated) {
    return Error{Errc::bad_argument,
                 "context_tokens is " + std::to_string(asked) + ", but the model has learned only " +
                     std::to_string(stated) + " positions",
                 0};
  }
  return asked != 0 ? asked : std::min<std::uint32_t>(stated, 8192);
}

Result<std::vector<std::vector<float>>> evaluate_logits(const Model& model, std::span<const Token> tokens,
                                                        bool all, const EngineOptions& options) {
  const ModelParts& parts = model.parts();
  if (tokens.empty()) return Error{Errc::bad_argument, "there are no tokens to evaluate", 0};
  for (const Token token : tokens) {
    if (token < 0 || static_cast<std::uint32_t>(token) >= parts.config.vocab_size) {
      return Error{Errc::bad_argument,
                   "token " + std::to_string(token) + " is not in the vocabulary of 0 to " +
                       std::to_string(parts.config.vocab_size - 1),
                   0};
    }
  }
  TROUPE_TRY(const std::uint32_t context, resolve_context_tokens(model, options.context_tokens));
  if (tokens.size() > context) {
    return Error{Errc::context_exceeded,
                 "the prompt has " + std::to_string(tokens.size()) + " tokens, but the context only " +
                     std::to_string(context) + "; shorten the prompt or raise the context",
                 0};
  }
  const KvType kv_type =
      resolve_kv_precision(model, options.kv_precision) == KvPrecision::f32 ? KvType::f32 : KvType::f16;

  ThreadPool pool(options.threads);
  KvCache cache(parts.config, kv_type, KvCache::pages_for(tokens.size()));
  constexpr SequenceId sequence = 1;
  cache.open(sequence, tokens.size());
  Forward forward(parts, cache, pool);
  std::vector<std::vector<float>> result;
  LogitsBlock logits;
  const std::size_t step = std::max<std::size_t>(1, options.step_tokens_max);
  for (std::size_t begin = 0; begin < tokens.size(); begin += step) {
    StepBatch batch;
    for (std::size_t i = begin; i < std::min(begin + step, tokens.size()); ++i) {
      batch.rows.push_back(
          {sequence, static_cast<std::uint32_t>(i), tokens[i], all || i + 1 == tokens.size()});
    }
    forward.run(batch, logits);
    for (std::size_t i = 0; i < logits.rows; ++i) {
      const auto row = logits.row(i);
      result.emplace_back(row.begin(), row.end());
    }
  }
  return result;
}

}  // namespace troupe
