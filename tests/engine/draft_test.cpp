// Guessed tokens through the whole engine: the same answers, in fewer steps.

#include "support/catch.hpp"
#include "support/toy_model.hpp"
#include "troupe/engine.hpp"

using namespace troupe;

namespace {

struct Answers {
  std::vector<std::vector<Token>> tokens;
  std::vector<std::string> texts;
  EngineStats stats;
};

Answers answers(const std::shared_ptr<const Model>& model, const std::vector<GenerationRequest>& requests,
                std::uint32_t draft_tokens_max, std::uint32_t pool_max) {
  EngineOptions options;
  options.draft_tokens_max = draft_tokens_max;
  options.pool_max = pool_max;
  const auto engine = Engine::start(model, options);
  REQUIRE(engine);
  Answers answers;
  for (const auto& result : (*engine)->batch(requests)) {
    REQUIRE(result);
    answers.tokens.push_back(result->tokens);
    answers.texts.push_back(result->text);
  }
  answers.stats = (*engine)->stats();
  return answers;
}

/// Texts that repeat themselves, and samplings of every kind.
std::vector<GenerationRequest> requests() {
  std::vector<GenerationRequest> requests;
  for (std::uint64_t i = 0; i < 12; ++i) {
    GenerationRequest request;
    std::string text;
    for (std::uint64_t word = 0; word < 12; ++word) text += "again " + std::to_string(i + word % 3) + " and ";
    request.prompt = text;
    request.options.max_tokens = 150;
    request.options.ignore_eos = i % 2 == 0;
    request.options.sampling.seed = i;
    request.options.sampling.temperature = i % 3 == 0 ? 0.0F : 0.3F;
    if (i % 4 == 1) request.options.sampling.repeat_penalty = 1.2F;
    if (i % 4 == 2) request.options.sampling.frequency_penalty = 0.3F;
    if (i % 5 == 3) request.options.sampling.top_k = 20;
    if (i % 5 == 4) request.options.stop = {"qu", "zz"};
    requests.push_back(request);
  }
  return requests;
}

}  // namespace

TEST_CASE("guessed tokens change no answer, and those that are right save steps", "[engine]") {
  test::ToyShape shape;
  shape.type = GENERATE(TensorType::f32, TensorType::q8_0, TensorType::q4_0);
  const auto model = test::toy_model(shape);
  const auto asked = requests();
  const Answers plain = answers(model, asked, 0, 1);
  CHECK(plain.stats.draft_tokens == 0);
  std::uint64_t accepted = 0;
  for (const std::uint32_t draft_tokens_max : {1U, 7U, 40U}) {
    for (const std::uint32_t pool_max : {1U, 4U}) {
      const Answers drafted = answers(model, asked, draft_tokens_max, pool_max);
      CHECK(drafted.tokens == plain.tokens);
      CHECK(drafted.texts == plain.texts);
      CHECK(drafted.stats.draft_tokens_accepted <= drafted.stats.draft_tokens);
      accepted += drafted.stats.draft_tokens_accepted;
      if (pool_max == 1 && drafted.stats.draft_tokens_accepted > 50)
        CHECK(drafted.stats.steps < plain.stats.steps);
    }
  }
  CHECK(accepted > 0);  // how many depends on what rows cost today
}

TEST_CASE("more guesses than a step has rows for are refused by name", "[engine]") {
  EngineOptions options;
  options.draft_tokens_max = 65;
  const auto engine = Engine::start(test::toy_model(), options);
  REQUIRE_FALSE(engine);
  CHECK(engine.error().message.find("draft_tokens_max is 65") != std::string::npos);
}
