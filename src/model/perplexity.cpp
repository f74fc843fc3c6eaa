#include "model/perplexity.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/guard.hpp"
#include "base/try.hpp"
#include "model/evaluate.hpp"
#include "model/forward.hpp"
#include "model/sampler.hpp"

namespace troupe {
namespace {

constexpr std::uint32_t window_tokens_min = 4;  // the first whose second half has a token to score
constexpr std::uint32_t window_tokens_default = 512;
constexpr std::size_t rows_max = 512;  // of a step: more does not make the matrices' products faster
constexpr std::size_t logits_bytes_max = std::size_t{64} << 20;

/// -ln of the probability that the logits give `token`.
double surprise(std::span<const float> logits, Token token) {
  double largest = -HUGE_VAL;
  for (const float logit : logits) largest = std::max(largest, static_cast<double>(logit));
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return largest + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

class Evaluation {
 public:
  Evaluation(const Model& model, std::span<const Token> text, const Perplexity& shape,
             const PerplexityOptions& options)
      : model_(model),
        text_(text),
        shape_(shape),
        window_(shape.window_tokens),
        group_(std::clamp<std::size_t>(rows_max / window_, 1, shape.windows)),
        pool_(options.threads),
        cache_(model.parts().config, kv_type_of(resolve_kv_precision(model, options.kv_precision)),
               group_ * KvCache::pages_for(window_)),
        forward_(model.parts(), cache_, pool_, rounded_context(window_)) {}

  Result<Perplexity> run(const std::function<bool(double)>& progress) {
    for (std::size_t first = 0; first < shape_.windows; first += group_) {
      const std::size_t count = std::min<std::size_t>(group_, shape_.windows - first);
      for (std::size_t w = 0; w < count; ++w) cache_.open(first + w, window_);
      const std::size_t chunk = chunk_positions(count);
      for (std::size_t begin = 0; begin + 1 < window_; begin += chunk) {
        // The last token is predicted, and predicts nothing that would be scored.
        const std::size_t end = std::min(begin + chunk, window_ - 1);
        step(first, count, begin, end);
        const double done = static_cast<double>(first) + static_cast<double>(count * end) / (window_ - 1.0);
        if (progress && !progress(std::min(1.0, done / static_cast<double>(shape_.windows)))) {
          return Error{Errc::cancelled, "measuring the perplexity was cancelled"};
        }
      }
      for (std::size_t w = 0; w < count; ++w) cache_.close(first + w);
    }
    return result();
  }

 private:
  /// Positions of each of `count` windows that go into one step.
  std::size_t chunk_positions(std::size_t count) const {
    const std::size_t row_bytes = std::size_t{model_.info().vocab_size} * sizeof(float);
    const std::size_t rows = std::min(rows_max, std::max<std::size_t>(1, logits_bytes_max / row_bytes));
    return std::max<std::size_t>(1, rows / count);
  }

  /// Positions `begin` to `end` of the windows `first` to `first + count`.
  void step(std::size_t first, std::size_t count, std::size_t begin, std::size_t end) {
    StepBatch batch;
    std::vector<Token> targets;
    for (std::size_t w = first; w < first + count; ++w) {
      for (std::size_t i = begin; i < end; ++i) {
        const bool scored = i >= window_ / 2;
        batch.rows.push_back({w, static_cast<std::uint32_t>(i), token_at(w, i), scored});
        if (scored) targets.push_back(text_[w * window_ + i + 1]);
      }
    }
    forward_.run(batch, logits_);
    std::vector<double> surprises(targets.size());
    pool_.parallel_for(targets.size(),
                       [&](std::size_t i, unsigned) { surprises[i] = surprise(logits_.row(i), targets[i]); });
    for (const double value : surprises) {
      sum_ += value;
      squares_ += value * value;
    }
    scored_ += targets.size();
  }

  Token token_at(std::size_t window, std::size_t position) const {
    const Tokenizer& tokenizer = model_.tokenizer();
    const Token token = text_[window * window_ + position];
    return position == 0 && tokenizer.adds_bos() ? tokenizer.bos().value_or(token) : token;
  }

  Result<Perplexity> result() const {
    Perplexity out = shape_;
    const auto count = static_cast<double>(scored_);
    const double mean = sum_ / count;
    if (!std::isfinite(mean)) {
      return Error{Errc::bad_file, "the model's logits are infinite or not a number; its file is damaged"};
    }
    const double variance = std::max(0.0, squares_ / count - mean * mean);
    out.perplexity = std::exp(mean);
    out.standard_error = scored_ > 1 ? out.perplexity * std::sqrt(variance / (count - 1)) : 0;
    out.scored = scored_;
    return out;
  }

  const Model& model_;
  std::span<const Token> text_;
  Perplexity shape_;
  std::size_t window_;
  std::size_t group_;  // windows that run at once
  ThreadPool pool_;
  KvCache cache_;
  Forward forward_;
  LogitsBlock logits_;
  double sum_ = 0;
  double squares_ = 0;
  std::uint64_t scored_ = 0;
};

Result<Perplexity> shape_of(const Model& model, std::span<const Token> text,
                            const PerplexityOptions& options) {
  TROUPE_TRY_STATUS(validate_tokens(text, "the text", model.info().vocab_size));
  Perplexity shape;
  shape.window_tokens = options.window_tokens;
  if (shape.window_tokens == 0) {
    const bool learned = model.parts().config.architecture.positions == PositionKind::learned;
    const std::uint32_t most = learned ? model.info().context_tokens : window_tokens_default;
    shape.window_tokens = std::min(window_tokens_default, most);
  }
  TROUPE_TRY(shape.window_tokens, resolve_context_tokens(model, shape.window_tokens));
  if (shape.window_tokens < window_tokens_min) {
    return Error{Errc::bad_argument, "a window of " + std::to_string(shape.window_tokens) +
                                         " tokens has nothing to score; expected at least " +
                                         std::to_string(window_tokens_min)};
  }
  shape.windows = text.size() / shape.window_tokens;
  if (options.windows_max != 0) shape.windows = std::min(shape.windows, options.windows_max);
  if (shape.windows == 0) {
    return Error{Errc::bad_argument, "the text has " + std::to_string(text.size()) +
                                         " tokens, less than a window of " +
                                         std::to_string(shape.window_tokens)};
  }
  if (options.threads > threads_max) {
    return Error{Errc::bad_argument, "threads is " + std::to_string(options.threads) + "; expected 0 to " +
                                         std::to_string(threads_max)};
  }
  return shape;
}

}  // namespace

Result<Perplexity> evaluate_perplexity(const Model& model, std::span<const Token> text,
                                       const PerplexityOptions& options,
                                       const std::function<bool(double)>& progress) {
  TROUPE_TRY(const Perplexity shape, shape_of(model, text, options));
  return guarded("measuring the perplexity", [&]() -> Result<Perplexity> {
    return Evaluation(model, text, shape, options).run(progress);
  });
}

}  // namespace troupe
