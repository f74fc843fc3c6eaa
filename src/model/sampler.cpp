#include "model/sampler.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "base/random.hpp"
#include "kernels/soft_weights.hpp"

namespace troupe {
namespace {

template <class Number>
Error out_of_range(const char* name, Number value, const char* range) {
  char digits[32];  // the shortest text that reads back as the number
  const std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  return {Errc::bad_argument, std::string(name) + " is " + text + "; expected " + range, 0};
}

Error no_token_possible() {
  return {Errc::fault, "no token is possible: every logit is -infinity or not a number", 0};
}

constexpr float never = -std::numeric_limits<float>::infinity();

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
    ++recent_counts_[token];
    if (recent_.size() < options_.repeat_last_n) {
      recent_.push_back(token);
      continue;
    }
    const auto oldest = recent_counts_.find(std::exchange(recent_[recent_next_], token));
    if (--oldest->second == 0) recent_counts_.erase(oldest);
    recent_next_ = (recent_next_ + 1) % recent_.size();
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

std::size_t Sampler::top_count(std::size_t answer_tokens) const {
  const std::size_t kept = options_.temperature == 0 ? 1 : options_.top_k;
  if (kept == 0) return 0;
  // As many as may fall out of the list because their logits change.
  std::size_t changed = options_.logit_bias.size();
  if (options_.repeat_penalty != 1)
    changed += std::min<std::size_t>(recent_counts_.size() + answer_tokens, options_.repeat_last_n);
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0)
    changed += answer_counts_.size() + answer_tokens;
  return kept + changed;
}

/// logit_of(token): a pointer to its logit, null where there is none.
template <class LogitOf>
void Sampler::apply_bias_and_penalties(LogitOf logit_of) const {
  for (const auto& [token, bias] : options_.logit_bias) {
    if (float* logit = logit_of(token)) *logit += bias;
  }
  if (options_.repeat_penalty != 1) {
    for (const auto& [token, count] : recent_counts_) {
      if (float* logit = logit_of(token))
        *logit = *logit > 0 ? *logit / options_.repeat_penalty : *logit * options_.repeat_penalty;
    }
  }
  if (options_.presence_penalty == 0 && options_.frequency_penalty == 0) return;
  for (const auto& [token, count] : answer_counts_) {
    if (float* logit = logit_of(token))
      *logit -= options_.presence_penalty + options_.frequency_penalty * static_cast<float>(count);
  }
}

/// Fills changed_ with what bias and penalties may change and makes of it, in id order.
void Sampler::find_changed(std::span<const float> logits) {
  changed_.clear();
  const auto add = [&](Token token) {
    if (token >= 0 && static_cast<std::size_t>(token) < logits.size())
      changed_.push_back({token, logits[static_cast<std::size_t>(token)]});
  };
  for (const auto& [token, bias] : options_.logit_bias) add(token);
  if (options_.repeat_penalty != 1) {
    for (const auto& [token, count] : recent_counts_) add(token);
  }
  if (options_.presence_penalty != 0 || options_.frequency_penalty != 0) {
    for (const auto& [token, count] : answer_counts_) add(token);
  }
  const auto by_id = [](const IndexedValue& a, const IndexedValue& b) { return a.index < b.index; };
  const auto same_id = [](const IndexedValue& a, const IndexedValue& b) { return a.index == b.index; };
  std::sort(changed_.begin(), changed_.end(), by_id);
  changed_.erase(std::unique(changed_.begin(), changed_.end(), same_id), changed_.end());
  apply_bias_and_penalties([&](Token token) -> float* {
    const auto found = std::lower_bound(changed_.begin(), changed_.end(), IndexedValue{token, 0}, by_id);
    return found != changed_.end() && found->index == token ? &found->value : nullptr;
  });
}

/// candidates_: those of the list that nothing changes, and all that something does.
void Sampler::take_listed(const LogitsView& logits) {
  candidates_.clear();
  find_changed(logits.all);
  auto next = changed_.begin();
  const auto take_changed_below = [&](Token token) {
    for (; next != changed_.end() && next->index < token; ++next) {
      if (next->value > never) candidates_.push_back(*next);
    }
  };
  for (const IndexedValue& candidate : logits.top) {
    take_changed_below(candidate.index);
    const bool changes = next != changed_.end() && next->index == candidate.index;
    if (!changes) candidates_.push_back(candidate);
  }
  take_changed_below(std::numeric_limits<Token>::max());
}

/// The row after bias and penalties; maxima_ are its.
std::span<const float> Sampler::adjust(std::span<const float> logits) {
  if (changes_logits()) {
    adjusted_.assign(logits.begin(), logits.end());
    apply_bias_and_penalties([&](Token token) -> float* {
      const bool known = token >= 0 && static_cast<std::size_t>(token) < adjusted_.size();
      return known ? &adjusted_[static_cast<std::size_t>(token)] : nullptr;
    });
    logits = adjusted_;
  }
  maxima_.resize(maxima_blocks(logits.size()));
  block_maxima(logits, maxima_.data());
  return logits;
}

/// probabilities_ of candidates_, not normalised: 1 for `best`. Returns their sum.
double Sampler::weigh(float best) {
  double total = 0;
  probabilities_.resize(candidates_.size());
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    const double below = (static_cast<double>(candidates_[i].value) - static_cast<double>(best)) /
                         static_cast<double>(options_.temperature);
    probabilities_[i] = std::exp(below);
    total += probabilities_[i];
  }
  return total;
}

/// Keeps the smallest set of most likely candidates that reaches top_p of `total`.
void Sampler::keep_top_p(double total) {
  std::vector<std::size_t> order(candidates_.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto likelier = [&](std::size_t a, std::size_t b) {
    return probabilities_[a] != probabilities_[b] ? probabilities_[a] > probabilities_[b] : a < b;
  };
  const double enough = static_cast<double>(options_.top_p) * total;
  double sum = 0;
  std::size_t kept = 0;
  // Sorted as far as it is needed: of a whole vocabulary that is a small part.
  for (std::size_t sorted = 0; kept < order.size() && sum < enough;) {
    const std::size_t next = std::min(order.size(), 4 * sorted + 64);
    const auto at = [&](std::size_t i) { return order.begin() + static_cast<std::ptrdiff_t>(i); };
    std::partial_sort(at(sorted), at(next), order.end(), likelier);
    sorted = next;
    while (kept < sorted && sum < enough) sum += probabilities_[order[kept++]];
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
  Token last = candidates_.front().index;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (probabilities_[i] < floor) continue;
    last = candidates_[i].index;
    sum += probabilities_[i];
    if (sum > target) break;
  }
  return last;
}

/// sums_: of the weights of the row's blocks. Returns the sum of all.
double Sampler::sum_blocks(std::span<const float> logits, float best) {
  sums_.resize(maxima_blocks(logits.size()));
  soft_weight_sums(logits, best, options_.temperature, sums_.data());
  return std::accumulate(sums_.begin(), sums_.end(), 0.0);
}

/// From all of the row, none of which is ruled out: the block in which the draw ends, then the token in it.
Token Sampler::draw_from_all(std::span<const float> logits, float best, std::uint64_t position) {
  const double target = uniform_at(options_.seed, position) * sum_blocks(logits, best);
  double sum = 0;
  std::size_t block = 0, last_block = 0;
  for (; block < sums_.size(); ++block) {
    if (sums_[block] == 0) continue;
    last_block = block;
    if (sum + sums_[block] > target) break;
    sum += sums_[block];
  }
  const std::size_t begin = last_block * maxima_block;
  const auto values = logits.subspan(begin, std::min(maxima_block, logits.size() - begin));
  float weights[maxima_block];
  soft_weights(values, best, options_.temperature, weights);
  std::size_t last = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (weights[i] == 0) continue;
    last = i;
    sum += weights[i];
    if (sum > target) break;
  }
  return static_cast<Token>(begin + last);
}

/// Without top-k. top-p and min-p leave few of a vocabulary as a rule, so the likeliest are taken, and more
/// of them until what is left is surely among them.
Token Sampler::draw_from_likeliest(std::span<const float> logits, float best, std::uint64_t position) {
  const double top_p = static_cast<double>(options_.top_p), min_p = static_cast<double>(options_.min_p);
  const double total = top_p < 1 ? sum_blocks(logits, best) : 0;
  constexpr std::size_t few = 256, growth = 8;
  for (std::size_t count = few;; count *= growth) {
    top_values(logits, maxima_, count, candidates_);
    const double sum = weigh(best);
    if (candidates_.size() < count) break;  // all that are possible
    if (top_p < 1 && sum >= top_p * total) break;
    if (*std::min_element(probabilities_.begin(), probabilities_.end()) < min_p) break;
  }
  if (top_p < 1) keep_top_p(total);
  return draw(position);
}

Result<Token> Sampler::sample(const LogitsView& logits, std::uint64_t position) {
  const std::size_t enough = top_count();
  const std::size_t kept = options_.temperature == 0 ? 1 : options_.top_k;
  const bool listed = enough != 0 && logits.top_count >= enough;
  if (listed) {
    take_listed(logits);
  } else {
    const std::span<const float> row = adjust(logits.all);
    const float best = *std::max_element(maxima_.begin(), maxima_.end());
    if (best == never) return no_token_possible();
    // +infinity leaves only the best.
    if (kept == 0 && !std::isinf(best)) {
      return options_.top_p == 1 && options_.min_p == 0 ? draw_from_all(row, best, position)
                                                        : draw_from_likeliest(row, best, position);
    }
    top_values(row, maxima_, std::max<std::size_t>(1, kept), candidates_);
  }
  if (candidates_.empty()) return no_token_possible();
  const IndexedValue best = *std::max_element(
      candidates_.begin(), candidates_.end(),
      [](const IndexedValue& a, const IndexedValue& b) { return a.value < b.value; });  // the first of equals
  if (kept <= 1 || std::isinf(best.value)) return best.index;

  if (listed) keep_largest(candidates_, kept);
  const double total = weigh(best.value);
  if (options_.top_p < 1) keep_top_p(total);
  return draw(position);
}

}  // namespace troupe
