#include "model/evaluate.hpp"

#include <algorithm>

#include "base/guard.hpp"
#include "base/try.hpp"
#include "model/forward.hpp"
#include "model/sampler.hpp"

namespace troupe {

KvPrecision resolve_kv_precision(const Model& model, KvPrecision precision) noexcept {
  if (precision != KvPrecision::automatic) return precision;
  return model.parts().all_f32 ? KvPrecision::f32 : KvPrecision::f16;
}

KvType kv_type_of(KvPrecision precision) noexcept {
  switch (precision) {
    case KvPrecision::f32: return KvType::f32;
    case KvPrecision::q8_0: return KvType::q8_0;
    default: return KvType::f16;
  }
}

Result<std::uint32_t> resolve_context_tokens(const Model& model, std::uint32_t asked) {
  const std::uint32_t stated = model.info().context_tokens;
  const ModelConfig& config = model.parts().config;
  if (config.architecture.positions == PositionKind::rotary) {
    const std::uint32_t original = config.rope.original_context;
    const std::uint32_t most = original != 0 ? std::min<std::uint32_t>(original, 8192) : 8192;
    return asked != 0 ? asked : std::clamp<std::uint32_t>(stated, std::min<std::uint32_t>(512, most), most);
  }
  if (asked > stated) {
    return Error{Errc::bad_argument,
                 "context_tokens is " + std::to_string(asked) + ", but the model has learned only " +
                     std::to_string(stated) + " positions",
                 0};
  }
  return asked != 0 ? asked : std::min<std::uint32_t>(stated, 8192);
}

namespace {

Status check(const Model& model, std::span<const Token> tokens, const EngineOptions& options) {
  if (tokens.empty()) return Error{Errc::bad_argument, "there are no tokens to evaluate"};
  TROUPE_TRY_STATUS(validate_tokens(tokens, "the prompt", model.info().vocab_size));
  TROUPE_TRY(std::uint32_t context, resolve_context_tokens(model, options.context_tokens));
  // These tokens are all there will be, so a default that leaves the long contexts of a model alone need not.
  if (options.context_tokens == 0) context = std::max(context, std::min(model.info().context_tokens, 8192U));
  if (tokens.size() > context) {
    return Error{Errc::context_exceeded, "the prompt has " + std::to_string(tokens.size()) +
                                             " tokens, but the context only " + std::to_string(context) +
                                             "; shorten the prompt or raise context_tokens (--context)"};
  }
  if (options.threads > threads_max) {
    return Error{Errc::bad_argument, "threads is " + std::to_string(options.threads) + "; expected 0 to " +
                                         std::to_string(threads_max)};
  }
  return {};
}

Result<Logits> run(const ModelParts& parts, std::span<const Token> tokens, bool all, KvType kv_type,
                   const EngineOptions& options, const std::function<bool(double)>& progress) {
  ThreadPool pool(options.threads);
  const std::size_t context =
      options.context_tokens != 0 ? options.context_tokens : rounded_context(tokens.size());
  KvCache cache(parts.config, kv_type, KvCache::pages_for(tokens.size()));
  constexpr SequenceId sequence = 1;
  cache.open(sequence, tokens.size());
  Forward forward(parts, cache, pool, context);
  Logits result;
  LogitsBlock logits;
  const std::size_t step = std::max<std::size_t>(1, options.step_tokens_max);
  for (std::size_t begin = 0; begin < tokens.size(); begin += step) {
    StepBatch batch;
    const std::size_t end = std::min(begin + step, tokens.size());
    for (std::size_t i = begin; i < end; ++i) {
      const bool wanted = all || i + 1 == tokens.size();
      batch.rows.push_back({sequence, static_cast<std::uint32_t>(i), tokens[i], wanted});
    }
    forward.run(batch, logits);
    for (std::size_t i = 0; i < logits.rows; ++i) {
      const auto row = logits.row(i);
      result.emplace_back(row.begin(), row.end());
    }
    if (progress && !progress(static_cast<double>(end) / static_cast<double>(tokens.size())))
      return Error{Errc::cancelled, "evaluating the prompt was cancelled"};
  }
  return result;
}

}  // namespace

Result<Logits> evaluate_logits(const Model& model, std::span<const Token> tokens, bool all,
                               const EngineOptions& options, const std::function<bool(double)>& progress) {
  TROUPE_TRY_STATUS(check(model, tokens, options));
  const KvType kv_type = kv_type_of(resolve_kv_precision(model, options.kv_precision));
  return guarded("evaluating " + std::to_string(tokens.size()) + " tokens", [&]() -> Result<Logits> {
    return run(model.parts(), tokens, all, kv_type, options, progress);
  });
}

}  // namespace troupe
