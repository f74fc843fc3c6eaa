#include "model/sampler.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>

#include "base/random.hpp"

namespace troupe {
namespace {

template <class Number>
Error out_of_range(const char* name, Number value, const char* range) {
  char digits[32];  // the shortest text that reads back as the number
  const std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  return {Errc::bad_argument, std::string(name) + " is " + text + "; expected " + range, 0};
}

/// The largest logit, the lower id on a tie; NaN never wins. nullopt when nothing is above -infinity.
std::optional<Token> largest(std::span<const float> logits) {
  float best = -std::numeric_limits<float>::infinity();
  std::optional<Token> token;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > best) {
      best = logits[i];
      token = static_cast<Token>(i);
    }
  }
  return token;
}

// More is no sampling option but a table.
constexpr std::size_t logit_bias_max = 4096;

}  // namespace

Status validate_tokens(std::span<const Token> tokens, const char* what, std::size_t vocab_size) {
  for (const Token token : tokens) {
    if (token < 0 || static_cast<std::size_t>(token) >= vocab_size) {
      return Error{Errc::bad_argument, std::string(what) + " has token " + std::to_string(token) +
                                           "; the vocabulary has 0 to " + std::to_string(vocab_size - 1)};
    }
  }
  return {};
}

Status validate(const SamplingOptions& options, std::size_t vocab_size) {
  // Written so that NaN fails every test.
  if (!(options.temperature >= 0 && options.temperature <= 100)) {
    return out_of_range("temperature", options.temperature, "0 to 100");
  }
  if (!(options.top_p > 0 && options.top_p <= 1))
    return out_of_range("top_p", options.top_p, "more than 0, up to 1");
  if (!(options.min_p >= 0 && options.min_p <= 1)) return out_of_range("min_p", options.min_p, "0 to 1");
  if (!(options.repeat_penalty > 0 && options.repeat_penalty <= 100)) {
    return out_of_range("repeat_penalty", options.repeat_penalty, "more than 0, up to 100");
  }
  if (!(options.presence_penalty >= -2 && options.presence_penalty <= 2)) {
    return out_of_range("presence_penalty", options.presence_penalty, "-2 to 2");
  }
  if (!(options.frequency_penalty >= -2 && options.frequency_penalty <= 2)) {
    return out_of_range("frequency_penalty", options.frequency_penalty, "-2 to 2");
  }
  if (options.repeat_last_n > 1'000'000) {
    return out_of_range("repeat_last_n", options.repeat_last_n, "0 to 1000000");
  }
  if (options.logit_bias.size() > logit_bias_max) {
    return out_of_range("the number of logit_bias entries", static_cast<double>(options.logit_bias.size()),
                        "at most 4096");
  }
  for (const auto& [token, bias] : options.logit_bias) {
    if (token < 0 || static_cast<std::size_t>(token) >= vocab_size) {
      return Error{Errc::bad_argument,
                   "logit_bias names token " + std::to_string(token) + "; the vocabulary has 0 to " +
                       std::to_string(vocab_size - 1),
                   0};
    }
    if (std::isnan(bias) || bias == std::numeric_limits<float>::infinity()) {
      return out_of_range("logit_bias", bias, "a finite number, or -infinity to forbid the token");
    }
  }
  return {};
}

Sampler::Sampler(SamplingOptions options) : options_(std::move(options)) {}

void Sampler::see_prompt(std::span<const Token> tokens) {
  if (options_.repeat_last_n == 0) return;
  if (tokens.size() > options_.repeat_last_n) tokens = tokens.last(options_.repeat_last_n);
  for (const Token token : tokens) {
    if (recent_.size() < options_.repeat_last_n) {
      recent_.push_back(token);
    } else {
      recent_[recent_next_] = token;
      recent_next_ = (recent_next_ + 1) % recent_.size();
    }
  }
}

void Sampler::see_answer(Token token) {
  see_prompt({&token, 1});
  ++answer_counts_[token];
}

bool Sampler::changes_logits() const {
  return !options_.logit_bias.empty() || (options_.repeat_penalty != 1.0F && !recent_.empty()) ||
         ((options_.presence_penalty != 0 || options_.frequency_penalty != 0) && !answer_counts_.empty());
}

void Sampler::apply_bias_and_penalties(std::span<float> logits) const {
  const auto known = [&](Token token) {
    return token >= 0 && static_cast<std::size_t>(token) < logits.size();
  };
  for (const auto& [token, bias] : options_.logit_bias) {
    if (known(token)) logits[static_cast<std::size_t>(token)] += bias;
  }
  if (options_.repeat_penalty != 1.0F) {
    std::vector<Token> distinct(recent_);
    std::sort(distinct.begin(), distinct.end());
    distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
    for (const Token token : distinct) {
      if (!known(token)) continue;
      float& logit = logits[static_cast<std::size_t>(token)];
      logit = logit > 0 ? logit / options_.repeat_penalty : logit * options_.repeat_penalty;
    }
  }
  for (const auto& [token, count] : answer_counts_) {
    if (!known(token)) continue;
    logits[static_cast<std::size_t>(token)] -=
        options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
  }
}

/// Fills candidates_ with the k largest logits (all that are possible if k is 0), in id order.
void Sampler::keep_top_k(std::span<const float> logits) {
  candidates_.clear();
  const float never = -std::numeric_limits<float>::infinity();
  const std::size_t k = options_.top_k == 0 ? logits.size() : options_.top_k;
  if (k >= logits.size()) {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      if (logits[i] > never) candidates_.push_back({static_cast<Token>(i), logits[i]});
    }
    return;
  }
  // A heap whose front is the one to give up next. Ids ascend, so an equal logit never displaces one that is
  // in.
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > never)) continue;
    const Candidate candidate{static_cast<Token>(i), logits[i]};
    if (candidates_.size() < k) {
      candidates_.push_back(candidate);
      std::push_heap(candidates_.begin(), candidates_.end(), better);
    } else if (candidate.logit > candidates_.front().logit) {
      std::pop_heap(candidates_.begin(), candidates_.end(), better);
      candidates_.back() = candidate;
      std::push_heap(candidates_.begin(), candidates_.end(), better);
    }
  }
  std::sort(candidates_.begin(), candidates_.end(), [](auto& a, auto& b) { return a.token < b.token; });
}

/// Keeps the smallest set of most likely candidates that reaches top_p of `total`.
void Sampler::keep_top_p(double total) {
  std::vector<std::size_t> order(candidates_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return probabilities_[a] != probabilities_[b] ? probabilities_[a] > probabilities_[b] : a < b;
  });
  double sum = 0;
  std::size_t kept = 0;
  while (kept < order.size()) {
    sum += probabilities_[order[kept++]];
    if (sum >= static_cast<double>(options_.top_p) * total) break;
  }
  order.resize(kept);
  std::sort(order.begin(), order.end());
  for (std::size_t i = 0; i < kept; ++i) {
    candidates_[i] = candidates_[order[i]];
    probabilities_[i] = probabilities_[order[i]];
  }
  candidates_.resize(kept);
  probabilities_.resize(kept);
}

Token Sampler::draw(std::uint64_t position) const {
  const double best = *std::max_element(probabilities_.begin(), probabilities_.end());
  const double floor = static_cast<double>(options_.min_p) * best;
  double total = 0;
  for (const double p : probabilities_) total += p >= floor ? p : 0;
  const double target = uniform_at(options_.seed, position) * total;
  double sum = 0;
  Token last = candidates_.front().token;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (probabilities_[i] < floor) continue;
    last = candidates_[i].token;
    sum += probabilities_[i];
    if (sum > target) break;
  }
  return last;
}

Result<Token> Sampler::sample(std::span<const float> logits, std::uint64_t position) {
  if (changes_logits()) {
    adjusted_.assign(logits.begin(), logits.end());
    apply_bias_and_penalties(adjusted_);
    logits = adjusted_;
  }
  const std::optional<Token> best = largest(logits);
  if (!best) return Error{Errc::fault, "no token is possible: every logit is -infinity or not a number", 0};
  // +infinity, or a temperature so small that differences overflow, leaves only the best.
  const float best_logit = logits[static_cast<std::size_t>(*best)];
  if (options_.temperature == 0 || options_.top_k == 1 || std::isinf(best_logit)) return *best;

  keep_top_k(logits);
  double total = 0;
  probabilities_.resize(candidates_.size());
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    const double below =
        (static_cast<double>(candidates_[i].logit) - best_logit) / static_cast<double>(options_.temperature);
    probabilities_[i] = std::exp(below);
    total += probabilities_[i];
  }
  if (options_.top_p < 1) keep_top_p(total);
  return draw(position);
}

}  // namespace troupe
