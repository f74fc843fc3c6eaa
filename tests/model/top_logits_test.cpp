// Sampling from the largest logits gives the tokens that sampling from the whole row gives.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>

#include "base/random.hpp"
#include "model/logits.hpp"
#include "model/sampler.hpp"
#include "support/catch.hpp"

using namespace troupe;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : seed_(seed) {}
  double uniform() { return uniform_at(seed_, ++position_); }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(uniform() * static_cast<double>(n)); }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return choices.begin()[below(choices.size())];
  }

 private:
  std::uint64_t seed_, position_ = 0;
};

constexpr std::size_t vocab = 12'000;

/// Rows as models make them and as they do not: steps that make ties, infinities, NaN, nothing possible.
std::vector<float> draw_logits(Draws& draws) {
  std::vector<float> logits(vocab);
  const auto kind = draws.below(8);
  for (float& logit : logits) {
    const double value = 20 * draws.uniform() - 14;
    logit = static_cast<float>(kind == 0 ? std::floor(value) : value);
    if (kind == 1 && draws.below(3) == 0) logit = -infinity;
    if (kind == 2 && draws.below(3) == 0) logit = std::nanf("");
    if (kind == 3 && draws.below(4000) == 0) logit = infinity;
    if (kind == 4) logit = draws.below(6000) == 0 ? 1.0F : -infinity;
  }
  if (kind == 5) std::fill(logits.begin(), logits.end(), -2.0F);
  if (kind == 6 && draws.below(4) == 0) std::fill(logits.begin(), logits.end(), -infinity);
  return logits;
}

SamplingOptions draw_options(Draws& draws, const std::vector<float>& logits) {
  SamplingOptions o;
  o.temperature = draws.one_of({0.0F, 0.8F, 1.0F, 1e-30F, 3.0F});
  o.top_k = draws.one_of<std::uint32_t>({0, 1, 2, 8, 30, 20'000});
  o.top_p = draws.one_of({1.0F, 0.95F, 0.3F});
  o.min_p = draws.one_of({0.0F, 0.05F, 1.0F});
  o.repeat_penalty = draws.one_of({1.0F, 1.0F, 1.3F, 0.5F});
  o.repeat_last_n = draws.one_of<std::uint32_t>({0, 3, 12});
  o.presence_penalty = draws.one_of({0.0F, 0.0F, 1.5F, -1.0F});
  o.frequency_penalty = draws.one_of({0.0F, 0.0F, 0.5F});
  o.seed = draws.below(1000);
  const auto best = static_cast<Token>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  for (std::size_t i = draws.one_of({0, 0, 3}); i > 0; --i) {
    const Token token = draws.below(2) == 0 ? best : static_cast<Token>(draws.below(vocab));
    o.logit_bias.emplace_back(token, draws.one_of({-infinity, -3.0F, 2.0F, 15.0F}));
  }
  return o;
}

/// What troupe/generation.hpp says, in so many words.
Token expected_token(const SamplingOptions& o, std::vector<float> logits, const std::vector<Token>& prompt,
                     const std::vector<Token>& answer, std::uint64_t position) {
  for (const auto& [token, bias] : o.logit_bias) logits[static_cast<std::size_t>(token)] += bias;
  std::vector<Token> recent = prompt;
  recent.insert(recent.end(), answer.begin(), answer.end());
  if (recent.size() > o.repeat_last_n) recent.erase(recent.begin(), recent.end() - o.repeat_last_n);
  std::sort(recent.begin(), recent.end());
  recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
  for (const Token token : recent) {
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit > 0 ? logit / o.repeat_penalty : logit * o.repeat_penalty;
  }
  std::map<Token, int> counts;
  for (const Token token : answer) ++counts[token];
  for (const auto& [token, count] : counts)
    logits[static_cast<std::size_t>(token)] -=
        o.presence_penalty + o.frequency_penalty * static_cast<float>(count);

  std::vector<Token> order;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -infinity) order.push_back(static_cast<Token>(i));
  }
  const auto logit = [&](Token token) { return logits[static_cast<std::size_t>(token)]; };
  std::stable_sort(order.begin(), order.end(), [&](Token a, Token b) { return logit(a) > logit(b); });
  if (order.empty()) return no_token;
  const Token best = order.front();
  if (o.temperature == 0 || std::isinf(logit(best))) return best;
  if (o.top_k != 0 && order.size() > o.top_k) order.resize(o.top_k);

  std::sort(order.begin(), order.end());
  std::unordered_map<Token, double> probability;
  double total = 0;
  for (const Token token : order) {
    probability[token] = std::exp((static_cast<double>(logit(token)) - static_cast<double>(logit(best))) /
                                  static_cast<double>(o.temperature));
    total += probability[token];
  }
  if (o.top_p < 1) {
    double sum = 0;
    std::vector<Token> kept;
    // Equal probabilities of different logits count as a tie, too.
    std::vector<Token> likely = order;
    std::stable_sort(likely.begin(), likely.end(),
                     [&](Token a, Token b) { return probability[a] > probability[b]; });
    for (const Token token : likely) {
      kept.push_back(token);
      sum += probability[token];
      if (sum >= static_cast<double>(o.top_p) * total) break;
    }
    std::sort(kept.begin(), kept.end());
    order = kept;
  }
  double most = 0, left = 0;
  for (const Token token : order) most = std::max(most, probability[token]);
  const double floor = static_cast<double>(o.min_p) * most;
  for (const Token token : order) left += probability[token] >= floor ? probability[token] : 0;
  const double target = uniform_at(o.seed, position) * left;
  double sum = 0;
  Token last = order.front();
  for (const Token token : order) {
    if (probability[token] < floor) continue;
    last = token;
    sum += probability[token];
    if (sum > target) break;
  }
  return last;
}

std::vector<IndexedValue> top_of(const std::vector<float>& logits, std::size_t count) {
  std::vector<IndexedValue> top;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -infinity) top.push_back({static_cast<Token>(i), logits[i]});
  }
  std::stable_sort(top.begin(), top.end(), [](auto& a, auto& b) { return a.value > b.value; });
  top.resize(std::min(top.size(), count));
  std::sort(top.begin(), top.end(), [](auto& a, auto& b) { return a.index < b.index; });
  return top;
}

}  // namespace

TEST_CASE("a sampler takes the same token from the list of the largest as from the whole row", "[model]") {
  int listed = 0, impossible = 0;
  for (std::uint64_t trial = 0; trial < 1200; ++trial) {
    INFO("trial " << trial);
    Draws draws(trial);
    const std::vector<float> logits = draw_logits(draws);
    const SamplingOptions options = draw_options(draws, logits);
    Sampler sampler(options);
    // Tokens that were seen are often among the largest.
    const std::vector<IndexedValue> likely = top_of(logits, 20);
    const auto draw_token = [&] {
      const bool any = likely.empty() || draws.below(3) == 0;
      return any ? static_cast<Token>(draws.below(vocab)) : likely[draws.below(likely.size())].index;
    };
    std::vector<Token> prompt(draws.below(8)), answer(draws.below(8));
    for (Token& token : prompt) token = draw_token();
    for (Token& token : answer) token = draw_token();
    sampler.see_prompt(prompt);
    for (const Token token : answer) sampler.see_answer(token);

    const Token expected = expected_token(options, logits, prompt, answer, trial);
    const auto check = [&](const LogitsView& view) {
      const Result<Token> token = sampler.sample(view, trial);
      if (expected == no_token) {
        CHECK(token.error().code == Errc::fault);
      } else {
        CHECK(*token == expected);
      }
    };
    impossible += expected == no_token;
    check({logits});
    const std::size_t count = sampler.top_count();
    CHECK((count == 0) == (options.temperature != 0 && options.top_k == 0));
    if (count == 0) continue;
    ++listed;
    for (const std::size_t more : {0, 1, 100}) {
      const std::vector<IndexedValue> top = top_of(logits, count + more);
      check({logits, top, count + more});
    }
    check({logits, {}, count - 1});  // a list that is too short is not used
  }
  CHECK(listed > 500);
  CHECK(impossible > 10);
}

TEST_CASE("a list that was asked for ahead of guesses is enough as long as they hold", "[model]") {
  constexpr std::size_t guesses = 6;
  for (std::uint64_t trial = 0; trial < 300; ++trial) {
    INFO("trial " << trial);
    Draws draws(trial);
    SamplingOptions options = draw_options(draws, draw_logits(draws));
    options.top_k = draws.one_of<std::uint32_t>({1, 8, 30});
    Sampler sampler(options);
    std::vector<Token> seen(draws.below(10));
    for (Token& token : seen) token = static_cast<Token>(draws.below(vocab));
    sampler.see_prompt(seen);
    for (const auto& [token, bias] : options.logit_bias) seen.push_back(token);

    const std::size_t count = sampler.top_count(guesses);
    for (std::size_t guess = 0; guess <= guesses; ++guess) {
      std::vector<float> logits(vocab);
      for (float& logit : logits) logit = static_cast<float>(20 * draws.uniform() - 14);
      const Token expected = *sampler.sample(logits, guess);
      const std::vector<IndexedValue> top = top_of(logits, count);
      // Whoever looks at the whole row now finds another token.
      const auto is = [](Token token) { return [token](const IndexedValue& v) { return v.index == token; }; };
      Token trap = 0;
      while (std::count(seen.begin(), seen.end(), trap) != 0 || std::any_of(top.begin(), top.end(), is(trap)))
        ++trap;
      logits[static_cast<std::size_t>(trap)] = infinity;
      CHECK(*sampler.sample({logits, top, count}, guess) == expected);
      seen.push_back(expected);
      sampler.see_answer(expected);
    }
  }
}

TEST_CASE("the largest logits of the rows that want them are the same on any number of threads", "[model]") {
  Draws draws(1);
  const std::vector<std::size_t> counts = {3, 0, 40, 1, vocab, 7};
  for (const unsigned threads : {1U, 2U, 5U}) {
    ThreadPool pool(threads);
    TopLogits finder;
    LogitsBlock block;
    block.vocab = vocab;
    for (const std::size_t rows : {6, 1, 3}) {  // the block is used again, as a step's is
      block.rows = rows;
      block.values.resize(rows * vocab);
      std::vector<std::vector<float>> logits;
      for (std::size_t r = 0; r < rows; ++r) {
        logits.push_back(draw_logits(draws));
        std::copy(logits[r].begin(), logits[r].end(), block.values.data() + r * vocab);
      }
      finder.find(std::span(counts).first(rows), block, pool);
      for (std::size_t r = 0; r < rows; ++r) {
        const LogitsView view = block.view(r);
        CHECK(view.top_count == (counts[r] == vocab ? 0 : counts[r]));
        CHECK(std::vector(view.top.begin(), view.top.end()) == top_of(logits[r], view.top_count));
      }
      CHECK(block.view(rows - 1).all.size() == vocab);
    }
  }
}
