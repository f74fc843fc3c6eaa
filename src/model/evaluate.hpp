#pragma once

#include <functional>
#include <span>
#include <vector>

#include "kernels/attention.hpp"
#include "troupe/error.hpp"
#include "troupe/model.hpp"
#include "troupe/options.hpp"

namespace troupe {

/// The precision that `precision` stands for with this model.
KvPrecision resolve_kv_precision(const Model& model, KvPrecision precision) noexcept;

/// The cache's encoding for a resolved precision.
KvType kv_type_of(KvPrecision precision) noexcept;

/// The context that `asked` stands for with this model: itself, or for 0 the default that EngineOptions
/// documents. Errors: bad_argument when it asks for more positions than a model with learned ones has.
Result<std::uint32_t> resolve_context_tokens(const Model& model, std::uint32_t asked);

/// What Forward is to be told where `tokens` positions are all there will be: factors that go by the
/// context's length are chosen as llama.cpp does, which rounds it up.
constexpr std::size_t rounded_context(std::size_t tokens) {
  return (tokens + 255) / 256 * 256;
}

/// One row of f32 [vocab] for each position that was asked for.
using Logits = std::vector<std::vector<float>>;

/// Logits without actors: runs `tokens` as one sequence, in steps of options.step_tokens_max, and returns the
/// last position's row, or with `all` one row per token; f32 [vocab] each. progress(share) is called after
/// each step; false gives up. Errors: bad_argument (a token out of range, none at all), context_exceeded,
/// cancelled, too_large (out of memory), io (no threads).
Result<Logits> evaluate_logits(const Model& model, std::span<const Token> tokens, bool all,
                               const EngineOptions& options = {},
                               const std::function<bool(double)>& progress = {});

}  // namespace troupe
