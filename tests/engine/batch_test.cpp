// Batches of an engine: their order, their errors, their sources, and how they are given up.

#include "support/toy_engine.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using test::one_place;
using test::request;
using test::start;

namespace {

std::vector<std::string> prompts(std::size_t count) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) texts.push_back("prompt number " + std::to_string(i * i));
  return texts;
}

/// A batch whose answers are long enough to be caught running.
GenerationOptions long_answers() {
  GenerationOptions options;
  options.max_tokens = 400;
  options.ignore_eos = true;
  return options;
}

}  // namespace

TEST_CASE("32 prompts have the same answers one at a time and eight at a time, on one thread and two",
          "[engine]") {
  test::ToyShape shape;
  shape.type = GENERATE(TensorType::f32, TensorType::q8_0, TensorType::q4_0);
  GenerationOptions options;
  options.max_tokens = 40;
  options.sampling.temperature = 0.8F;
  options.sampling.seed = 7;
  const auto requests = Engine::seeded_requests(prompts(32), options);
  std::vector<std::vector<Token>> first;
  for (const std::uint32_t parallel : {1U, 8U}) {
    for (const std::uint32_t threads : {1U, 2U}) {
      EngineOptions engine_options;
      engine_options.threads = threads;
      engine_options.step_tokens_max = parallel == 1 ? 256 : 12;  // and prompts are cut differently
      const auto engine = start(engine_options, shape);
      BatchOptions batch;
      batch.parallelism_max = parallel;
      std::vector<std::vector<Token>> tokens;
      for (const auto& result : engine->batch(requests, batch)) {
        REQUIRE(result);
        tokens.push_back(result->tokens);
      }
      if (first.empty()) first = tokens;
      CHECK(tokens == first);
    }
  }
  CHECK(first[0] != first[1]);
}

TEST_CASE("a batch keeps the order, the progress and the errors of its prompts apart", "[engine]") {
  const auto engine = start();
  auto requests = Engine::seeded_requests(prompts(20), {});
  for (auto& r : requests) r.options.max_tokens = 5;
  requests[3].options.sampling.top_p = 9;
  requests[11].prompt = std::string(10'000, 'x');
  std::vector<std::size_t> order;
  std::size_t last = 0;
  BatchOptions options;
  options.parallelism_max = 4;
  options.on_result = [&](std::size_t index, const Result<Generation>&) { order.push_back(index); };
  options.on_progress = [&](std::size_t completed, std::size_t total) {
    CHECK(completed >= last);
    CHECK(total == 20);
    last = completed;
    return true;
  };
  const auto results = engine->batch(requests, options);
  REQUIRE(results.size() == 20);
  for (std::size_t i = 0; i < 20; ++i) {
    INFO(i);
    CHECK(order[i] == i);
    CHECK(results[i].ok() == (i != 3 && i != 11));
  }
  CHECK(last == 20);
  CHECK(results[3].error().code == Errc::bad_argument);
  CHECK(results[11].error().code == Errc::context_exceeded);
}

TEST_CASE("a batch larger than the queue waits instead of failing", "[engine]") {
  EngineOptions options;
  options.pool_max = 2;
  options.queue_requests_max = 3;
  const auto engine = start(options);
  auto requests = Engine::seeded_requests(prompts(30), {});
  for (auto& r : requests) r.options.max_tokens = 2;
  BatchOptions batch;
  batch.parallelism_max = 30;
  for (const auto& result : engine->batch(requests, batch)) CHECK(result.ok());
  CHECK(engine->batch(std::span<const GenerationRequest>(), batch).empty());
}

TEST_CASE(
    "a batch that reads its requests answers as one that has them, and reads no further ahead than it may",
    "[engine]") {
  const auto engine = start();
  auto requests = Engine::seeded_requests(prompts(60), {});
  for (std::size_t i = 0; i < requests.size(); ++i)
    requests[i].options.max_tokens = i == 7 ? 300 : static_cast<std::uint32_t>(1 + i % 5);  // one takes long
  requests[20].options.sampling.top_p = 9;
  const auto want = engine->batch(requests);

  std::size_t read = 0, handed_out = 0, ahead = 0, ended_at = 0;
  BatchOptions options;
  options.parallelism_max = 4;
  options.pending_max = 6;
  options.on_result = [&](std::size_t index, const Result<Generation>& result) {
    REQUIRE(index == handed_out++);
    REQUIRE(result.ok() == want[index].ok());
    if (result) CHECK(result->tokens == want[index]->tokens);
  };
  options.on_progress = [&](std::size_t completed, std::size_t total) {
    CHECK(completed <= read);
    CHECK((total == 0 || total == 60));
    ended_at = total;
    return true;
  };
  const auto next = [&]() -> std::optional<GenerationRequest> {
    ahead = std::max(ahead, read - handed_out);
    if (read == requests.size()) return std::nullopt;
    return requests[read++];
  };
  CHECK(engine->batch(next, options) == 60);
  CHECK(handed_out == 60);
  CHECK(ended_at == 60);
  CHECK(ahead < 6);
  CHECK(engine->batch([] { return std::nullopt; }) == 0);
}

TEST_CASE("a batch hands results out while its source has nothing to say", "[engine]") {
  const auto engine = start();
  std::size_t read = 0, handed_out = 0;
  BatchOptions options;
  options.ready = [&] { return read == handed_out; };  // whoever asks wants the last answer first
  options.on_result = [&](std::size_t, const Result<Generation>&) { ++handed_out; };
  const auto next = [&]() -> std::optional<GenerationRequest> {
    REQUIRE(read == handed_out);
    if (read == 5) return std::nullopt;
    ++read;
    return request("question", 3);
  };
  CHECK(engine->batch(next, options) == 5);
  CHECK(handed_out == 5);
}

TEST_CASE("a batch that is given up reads no further", "[engine]") {
  const auto engine = start();
  std::size_t read = 0, cancelled = 0;
  BatchOptions options;
  options.on_progress = [](std::size_t completed, std::size_t) { return completed < 3; };
  options.on_result = [&](std::size_t, const Result<Generation>& result) {
    REQUIRE(result);
    cancelled += result->finish_reason == FinishReason::cancelled;
  };
  const auto next = [&]() -> std::optional<GenerationRequest> {
    ++read;
    return request("endless", 400);
  };
  CHECK(engine->batch(next, options) == read);
  CHECK(cancelled > 0);
  CHECK(read < 100);
}

TEST_CASE("a deadline ends a batch's prompt that a full queue keeps out, as it ends one that waits in it",
          "[engine]") {
  EngineOptions options = one_place();
  options.queue_requests_max = 1;
  options.stream_window_tokens = 4;
  const auto engine = start(options);
  auto running = engine->open_stream(request("a", 100));  // until it is read, which it is not
  REQUIRE(running);
  auto waiting = engine->generate(request("b", 3));
  std::vector<GenerationRequest> late(3, request("c", 3));
  for (GenerationRequest& r : late) r.deadline = std::chrono::steady_clock::now() + 30ms;
  for (const auto& result : engine->batch(late)) {
    REQUIRE(result);
    CHECK(result->finish_reason == FinishReason::deadline);
    CHECK(result->text.empty());
  }
  running->cancel();
  CHECK(waiting.get());
}

TEST_CASE("a batch that is given up ends every prompt as cancelled", "[engine]") {
  const auto engine = start();
  const auto requests = Engine::seeded_requests(prompts(40), long_answers());
  BatchOptions batch;
  batch.on_progress = [](std::size_t completed, std::size_t) { return completed < 3; };
  std::size_t cancelled = 0;
  for (const auto& result : engine->batch(requests, batch)) {
    REQUIRE(result);
    cancelled += result->finish_reason == FinishReason::cancelled;
  }
  CHECK(cancelled >= 20);
}

TEST_CASE("a callback that throws cancels what its batch has running", "[engine]") {
  const auto engine = start(one_place());  // so that others wait when the first ends
  const auto requests = Engine::seeded_requests(prompts(20), long_answers());
  BatchOptions batch;
  batch.parallelism_max = 4;
  batch.on_result = [](std::size_t, const Result<Generation>&) {
    throw std::runtime_error("the caller's own");
  };
  CHECK_THROWS_AS(engine->batch(requests, batch), std::runtime_error);
  engine->stop();
  CHECK(engine->stats().requests_cancelled > 0);
  CHECK(engine->stats().kv_pages_used == 0);
}
