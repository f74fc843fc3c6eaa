#include "model/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "base/random.hpp"
#include "support/catch.hpp"

using namespace troupe;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

SamplingOptions plain() {
  SamplingOptions options;
  options.temperature = 1;
  options.top_k = 0;
  options.top_p = 1;
  options.min_p = 0;
  return options;
}

std::vector<float> some_logits(std::size_t vocab) {
  std::vector<float> logits;
  for (std::size_t i = 0; i < vocab; ++i)
    logits.push_back(static_cast<float>(8 * uniform_at(7, i) * uniform_at(8, i) - 4));
  logits[vocab / 2] = -infinity;
  logits[vocab / 3] = nan_value;
  return logits;
}

/// By sorting all, in double precision; of what top_p and min_p leave, normalised.
std::vector<double> probabilities_of(const SamplingOptions& options, const std::vector<float>& logits) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isnan(logits[i])) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return logits[a] > logits[b]; });
  std::vector<double> probabilities(logits.size());
  double total = 0;
  for (const std::size_t i : order) {
    probabilities[i] = std::exp((static_cast<double>(logits[i]) - static_cast<double>(logits[order[0]])) /
                                static_cast<double>(options.temperature));
    total += probabilities[i];
  }
  double sum = 0, left = 0;
  for (const std::size_t i : order) {
    const bool beyond = options.top_p < 1 && sum >= static_cast<double>(options.top_p) * total;
    sum += probabilities[i];
    if (beyond || probabilities[i] < static_cast<double>(options.min_p)) probabilities[i] = 0;
    left += probabilities[i];
  }
  for (double& p : probabilities) p /= left;
  return probabilities;
}

std::vector<double> cumulated(const std::vector<double>& probabilities) {
  std::vector<double> ends(probabilities.size());
  std::partial_sum(probabilities.begin(), probabilities.end(), ends.begin());
  return ends;
}

/// How often each token is drawn at `draws` positions.
std::vector<int> histogram(const SamplingOptions& options, const std::vector<float>& logits, int draws) {
  Sampler sampler(options);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i)
    ++counts[static_cast<std::size_t>(*sampler.sample(logits, static_cast<std::uint64_t>(i)))];
  return counts;
}

}  // namespace

TEST_CASE(
    "a draw from a whole vocabulary ends where the probabilities in front of it reach the random number",
    "[model]") {
  for (const std::size_t vocab : {5, 128, 129, 1000, 50'257}) {
    const std::vector<float> logits = some_logits(vocab);
    SamplingOptions options = plain();
    options.temperature = 0.7F;
    options.seed = vocab;
    const std::vector<double> ends = cumulated(probabilities_of(options, logits));
    Sampler sampler(options);
    for (std::uint64_t position = 0; position < 300; ++position) {
      const auto token = static_cast<std::size_t>(*sampler.sample(logits, position));
      const double number = uniform_at(options.seed, position);
      constexpr double margin = 1e-6;  // the weights are of single precision
      CHECK(number <= ends[token] + margin);
      CHECK(number >= (token == 0 ? 0 : ends[token - 1]) - margin);
    }
  }
}

TEST_CASE("top-p and min-p of a whole vocabulary leave what they leave of the sorted one", "[model]") {
  for (const float sharpness : {0.01F, 1.0F, 8.0F}) {  // few to nearly all tokens are left
    std::vector<float> logits = some_logits(6000);
    for (float& logit : logits) logit *= sharpness;
    for (const auto& [top_p, min_p] : {std::pair{0.9F, 0.0F}, {1.0F, 0.02F}, {0.9F, 0.02F}, {0.5F, 0.9F}}) {
      SamplingOptions options = plain();
      options.top_p = top_p;
      options.min_p = min_p;
      options.seed = 3;
      const std::vector<double> ends = cumulated(probabilities_of(options, logits));
      Sampler sampler(options);
      for (std::uint64_t position = 0; position < 50; ++position) {
        const auto token = static_cast<std::size_t>(*sampler.sample(logits, position));
        const double number = uniform_at(options.seed, position);
        INFO(sharpness << " " << top_p << " " << min_p << " at " << position);
        CHECK(number <= ends[token] + 1e-5);
        CHECK(number >= (token == 0 ? 0 : ends[token - 1]) - 1e-5);
      }
    }
  }
}

TEST_CASE("temperature 0 takes the largest logit and the lower id on a tie", "[model]") {
  SamplingOptions options;
  options.temperature = 0;
  Sampler sampler(options);
  CHECK(*sampler.sample(std::vector<float>{1, 3, 2, 3}, 0) == 1);
  CHECK(*sampler.sample(std::vector<float>{nan_value, -5, nan_value}, 0) == 1);
}

TEST_CASE("a draw follows the softmax probabilities", "[model]") {
  const std::vector<float> logits{0, std::log(2.0F), std::log(5.0F)};
  const auto counts = histogram(plain(), logits, 16000);
  CHECK(counts[0] == Approx(2000).margin(150));
  CHECK(counts[1] == Approx(4000).margin(200));
  CHECK(counts[2] == Approx(10000).margin(250));
}

TEST_CASE("a draw is a function of seed and position alone", "[model]") {
  const std::vector<float> logits{0.1F, 0.2F, 0.3F, 0.4F};
  SamplingOptions options = plain();
  options.seed = 42;
  Sampler a(options);
  Sampler b(options);
  for (std::uint64_t i = 0; i < 50; ++i) static_cast<void>(*a.sample(logits, i));
  CHECK(*a.sample(logits, 77) == *b.sample(logits, 77));
  options.seed = 43;
  CHECK(histogram(options, logits, 100) != histogram(plain(), logits, 100));
}

TEST_CASE("top-k keeps the k best and the lower ids among equals", "[model]") {
  SamplingOptions options = plain();
  options.top_k = 2;
  const auto counts = histogram(options, {1, 2, 2, 2, 0}, 500);
  CHECK(counts[0] == 0);
  CHECK(counts[1] > 0);
  CHECK(counts[2] > 0);
  CHECK(counts[3] == 0);
}

TEST_CASE("top-p keeps the smallest set that reaches it", "[model]") {
  SamplingOptions options = plain();
  options.top_p = 0.7F;
  // Probabilities 0.5, 0.3, 0.2.
  const auto counts = histogram(options, {std::log(0.2F), std::log(0.5F), std::log(0.3F)}, 1000);
  CHECK(counts[0] == 0);
  CHECK(counts[1] == Approx(625).margin(60));
  CHECK(counts[2] == Approx(375).margin(60));
}

TEST_CASE("min-p drops tokens far below the best", "[model]") {
  SamplingOptions options = plain();
  options.min_p = 0.5F;
  const auto counts = histogram(options, {std::log(0.2F), std::log(0.5F), std::log(0.3F)}, 500);
  CHECK(counts[0] == 0);
  CHECK(counts[1] > 0);
  CHECK(counts[2] > 0);
}

TEST_CASE("the repeat penalty lowers recent tokens and forgets those beyond its window", "[model]") {
  SamplingOptions options;
  options.temperature = 0;
  options.repeat_penalty = 2;
  options.repeat_last_n = 2;
  Sampler sampler(options);
  const std::vector<Token> seen{0, 1};
  sampler.see_prompt(seen);
  CHECK(*sampler.sample(std::vector<float>{3, 2.9F, 2}, 0) == 2);     // 1.5, 1.45, 2
  CHECK(*sampler.sample(std::vector<float>{-1, -1, -1.5F}, 0) == 2);  // negative logits are multiplied
  sampler.see_answer(2);                                              // token 0 leaves the window
  CHECK(*sampler.sample(std::vector<float>{3, 2.9F, 2}, 0) == 0);
}

TEST_CASE("presence and frequency penalties count the answer, not the prompt", "[model]") {
  SamplingOptions options;
  options.temperature = 0;
  options.frequency_penalty = 1;
  Sampler sampler(options);
  sampler.see_prompt(std::vector<Token>{0, 0, 0});
  CHECK(*sampler.sample(std::vector<float>{3, 2}, 0) == 0);
  sampler.see_answer(0);
  sampler.see_answer(0);
  CHECK(*sampler.sample(std::vector<float>{3, 2}, 0) == 1);  // 3 - 2 < 2
  options.frequency_penalty = 0;
  options.presence_penalty = 0.5F;
  Sampler once(options);
  once.see_answer(0);
  once.see_answer(0);
  CHECK(*once.sample(std::vector<float>{3, 2.6F}, 0) == 1);
}

TEST_CASE("logit bias forces and forbids tokens", "[model]") {
  SamplingOptions options = plain();
  options.logit_bias = {{0, -infinity}, {2, 100.0F}};
  const auto counts = histogram(options, {9, 1, 1}, 100);
  CHECK(counts == std::vector<int>{0, 0, 100});
}

TEST_CASE("sampling without any possible token is an error", "[model]") {
  Sampler sampler(plain());
  CHECK(sampler.sample(std::vector<float>{-infinity, nan_value}, 0).error().code == Errc::fault);
}

TEST_CASE("sampling stays finite at extreme temperatures and logits", "[model]") {
  SamplingOptions options = plain();
  options.temperature = 1e-30F;
  CHECK(histogram(options, {1, 2, -infinity}, 20) == std::vector<int>{0, 20, 0});
  options.temperature = 100;
  CHECK(histogram(options, {1e30F, 3e38F, -3e38F}, 20) == std::vector<int>{0, 20, 0});
  CHECK(histogram(options, {1, infinity, 2}, 20) == std::vector<int>{0, 20, 0});
}

TEST_CASE("replaying an answer restores the sampler", "[model]") {
  SamplingOptions options;
  options.repeat_penalty = 1.3F;
  options.frequency_penalty = 0.7F;
  options.seed = 5;
  const auto logits_at = [](std::uint64_t position) {
    std::vector<float> logits(50);
    for (std::size_t i = 0; i < logits.size(); ++i)
      logits[i] = static_cast<float>(4 * uniform_at(i, position));
    return logits;
  };
  Sampler whole(options);
  std::vector<Token> answer;
  for (std::uint64_t i = 0; i < 40; ++i) {
    answer.push_back(*whole.sample(logits_at(i), i));
    whole.see_answer(answer.back());
  }
  Sampler resumed(options);
  for (std::size_t i = 0; i < 25; ++i) resumed.see_answer(answer[i]);
  for (std::uint64_t i = 25; i < 40; ++i) {
    CHECK(*resumed.sample(logits_at(i), i) == answer[i]);
    resumed.see_answer(answer[i]);
  }
}

TEST_CASE("sampling options out of range are refused by name", "[model]") {
  const auto message = [](auto change) {
    SamplingOptions options;
    change(options);
    const Status status = validate(options, 10);
    return status ? std::string() : status.error().message;
  };
  CHECK(message([](auto&) {}).empty());
  CHECK(message([](auto& o) { o.temperature = -1; }) == "temperature is -1; expected 0 to 100");
  CHECK(message([](auto& o) { o.temperature = nan_value; }).find("temperature") == 0);
  CHECK(message([](auto& o) { o.top_p = 0; }).find("top_p") == 0);
  CHECK(message([](auto& o) { o.top_p = 7; }).find("top_p") == 0);
  CHECK(message([](auto& o) { o.min_p = 1.5F; }).find("min_p") == 0);
  CHECK(message([](auto& o) { o.repeat_penalty = 0; }).find("repeat_penalty") == 0);
  CHECK(message([](auto& o) { o.presence_penalty = 3; }).find("presence_penalty") == 0);
  CHECK(message([](auto& o) { o.frequency_penalty = -3; }).find("frequency_penalty") == 0);
  CHECK(message([](auto& o) { o.logit_bias = {{10, 1.0F}}; }).find("logit_bias") == 0);
  CHECK(message([](auto& o) { o.logit_bias = {{1, nan_value}}; }).find("logit_bias") == 0);
}

TEST_CASE("Philox gives the published values", "[base]") {
  // Known answers of the Random123 distribution, philox4x32-10.
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) ==
        std::array<std::uint32_t, 4>{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U});
  CHECK(philox4x32({0xffffffffU, 0xffffffffU, 0xffffffffU, 0xffffffffU}, {0xffffffffU, 0xffffffffU}) ==
        std::array<std::uint32_t, 4>{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU});
}
