#pragma once
// How well a model predicts a text.

#include <cstdint>
#include <functional>
#include <span>

#include "troupe/error.hpp"
#include "troupe/model.hpp"
#include "troupe/options.hpp"

namespace troupe {

struct PerplexityOptions {
  /// Tokens of a window, at least 4. 0: 512, or what the model has learned positions for if that is less.
  std::uint32_t window_tokens = 0;
  std::uint64_t windows_max = 0;  ///< at most so many, from the beginning of the text; 0: all
  std::uint32_t threads = 0;      ///< as in EngineOptions, and the next one too
  KvPrecision kv_precision = KvPrecision::automatic;
};

struct Perplexity {
  double perplexity = 0;      ///< exp of the mean negative log-likelihood of the scored tokens
  double standard_error = 0;  ///< of it, if tokens were independent
  std::uint64_t scored = 0;   ///< tokens
  std::uint64_t windows = 0;
  std::uint32_t window_tokens = 0;
};

/// The perplexity of a text, as llama.cpp counts it: the text, encoded as a whole with its BOS, is cut into
/// windows that do not overlap; what is left at the end is not used. In each the first token is replaced by
/// BOS where the vocabulary adds one, and the tokens behind the middle are scored, which have half a window
/// of context at least. Several short windows run as one batch. Memory: a KV cache for some 512 positions or
/// one window, and logits of 64 MiB or one row. progress(share) is called after each step; false gives up
/// (cancelled).
/// Errors: bad_argument (window_tokens, a text shorter than a window; both counts), cancelled, too_large (out
/// of memory), bad_file (the model's logits are not numbers), io (no threads).
Result<Perplexity> evaluate_perplexity(const Model& model, std::span<const Token> text,
                                       const PerplexityOptions& options = {},
                                       const std::function<bool(double)>& progress = {});

}  // namespace troupe
