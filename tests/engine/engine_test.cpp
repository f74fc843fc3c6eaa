// The engine as an embedder uses it: threads, futures, streams, batches.

#include "troupe/engine.hpp"

#include <atomic>
#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <thread>

#include "support/catch.hpp"
#include "support/shared_data.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

std::unique_ptr<Engine> start(const EngineOptions& options = {}, const test::ToyShape& shape = {}) {
  auto engine = Engine::start(test::toy_model(shape), options);
  REQUIRE(engine);
  return *std::move(engine);
}

GenerationRequest request(const std::string& prompt, std::uint32_t max_tokens, std::uint64_t seed = 0) {
  GenerationRequest r;
  r.prompt = prompt;
  r.options.max_tokens = max_tokens;
  r.options.ignore_eos = true;
  r.options.sampling.seed = seed;
  return r;
}

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

TEST_CASE("a conversation computes only what is new of it, and answers as if nothing had been kept",
          "[engine]") {
  test::ToyShape shape;
  shape.type = TensorType::q8_0;
  std::vector<std::string> turns;
  std::string conversation = "A conversation that is long enough to fill some pages of the cache. ";
  for (int turn = 0; turn < 6; ++turn)
    turns.push_back(conversation += "And turn " + std::to_string(turn) + ". ");
  std::vector<std::vector<Token>> answers[2];
  for (const bool keep : {false, true}) {
    EngineOptions options;
    options.prefix_cache = keep;
    const auto engine = start(options, shape);
    std::uint64_t prompt_tokens = 0;
    for (const std::string& turn : turns) {
      const auto answer = engine->generate(request(turn, 30, 5)).get();
      REQUIRE(answer);
      answers[keep].push_back(answer->tokens);
      prompt_tokens += answer->usage.prompt_tokens;
    }
    const EngineStats stats = engine->stats();
    if (keep) {
      CHECK(stats.prompt_tokens_reused > prompt_tokens / 2);
      CHECK(stats.prompt_tokens_reused < prompt_tokens);
    } else {
      CHECK(stats.prompt_tokens_reused == 0);
    }
  }
  CHECK(answers[0] == answers[1]);
}

TEST_CASE("a stream's events are the answer, piece by piece", "[engine]") {
  const auto engine = start();
  std::string text;
  std::vector<Token> tokens;
  const auto result = engine->stream(request("hello", 30), [&](const TokenEvent& event) {
    text += event.text;
    if (event.token != no_token) tokens.push_back(event.token);
    return true;
  });
  REQUIRE(result);
  CHECK(result->text == text);
  CHECK(result->tokens == tokens);
  CHECK(result->tokens.size() == 30);
  CHECK(result->usage.prompt_tokens > 0);
  CHECK(result->usage.completion_tokens == 30);
  CHECK(result->finish_reason == FinishReason::length);
  CHECK(result->timings.total_ms >= result->timings.ttft_ms);
  CHECK(engine->generate(request("hello", 30)).get()->tokens == tokens);
}

TEST_CASE("a reader that does not read stops its generator at the window, and can go on later", "[engine]") {
  EngineOptions options;
  options.stream_window_tokens = 16;
  const auto engine = start(options);
  auto slow = engine->open_stream(request("slow", 200));
  REQUIRE(slow);
  // Another stream runs to its end meanwhile: the slow one had all the time it needed.
  REQUIRE(engine->generate(request("fast", 300)).get());
  CHECK(engine->stats().requests_running == 1);
  CHECK(engine->stats().completion_tokens <= 300 + 16);
  CHECK(slow->result()->tokens == engine->generate(request("slow", 200)).get()->tokens);
}

TEST_CASE("a stream that is dropped is cancelled, and its pages come back", "[engine]") {
  const auto engine = start();
  {
    auto dropped = engine->open_stream(request("dropped", 400));
    REQUIRE(dropped);
    REQUIRE(dropped->next());
  }
  // Answered behind the cancel, so it has taken effect.
  REQUIRE(engine->generate(request("after", 2)).get());
  for (int i = 0; i < 500 && engine->stats().kv_pages_used != 0; ++i) std::this_thread::sleep_for(1ms);
  CHECK(engine->stats().requests_cancelled == 1);
  CHECK(engine->stats().kv_pages_used == 0);
}

TEST_CASE("returning false from a stream's callback cancels it and keeps what there is", "[engine]") {
  const auto engine = start();
  std::size_t seen = 0;
  const auto result = engine->stream(request("x", 400), [&](const TokenEvent&) { return ++seen < 5; });
  REQUIRE(result);
  CHECK(result->finish_reason == FinishReason::cancelled);
  CHECK(result->tokens.size() >= 5);
  CHECK(result->tokens.size() < 400);
}

TEST_CASE("a stream can be cancelled from another thread, and waits only as long as it is told", "[engine]") {
  EngineOptions options;
  options.pool_max = 1;
  const auto engine = start(options);
  auto running = engine->open_stream(request("running", 400));
  auto queued = engine->open_stream(request("queued", 5));
  REQUIRE(running);
  REQUIRE(queued);
  bool timed_out = false;
  CHECK_FALSE(queued->next_for(5ms, timed_out));
  CHECK(timed_out);
  std::thread canceller([&] { running->cancel(); });
  canceller.join();
  CHECK(running->result()->finish_reason == FinishReason::cancelled);
  CHECK(queued->result()->tokens.size() == 5);
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

TEST_CASE("a stream whose reader went to sleep ends with an error that says so", "[engine]") {
  EngineOptions engine_options;
  engine_options.reader_stall_ms_max = 20;
  engine_options.stream_window_tokens = 4;
  const auto engine = start(engine_options);
  auto stream = engine->open_stream(request("x", 100));
  REQUIRE(stream);
  while (engine->stats().reader_stalls == 0) std::this_thread::sleep_for(1ms);
  const auto result = stream->result();
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::reader_stalled);
  CHECK(engine->stats().requests_failed == 1);
}

TEST_CASE("a full queue refuses at once, by when it will have room, and has room again", "[engine]") {
  EngineOptions options;
  options.pool_max = 1;
  options.queue_requests_max = 2;
  options.stream_window_tokens = 4;
  const auto engine = start(options);
  auto running = engine->open_stream(request("a", 100));
  REQUIRE(running);
  auto first = engine->generate(request("b", 3));
  auto second = engine->generate(request("c", 3));
  for (int i = 0; i < 3; ++i) {
    const auto refused = engine->open_stream(request("d", 3));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::queue_full);
    CHECK(refused.error().retry_after_ms >= 50);
    CHECK(refused.error().message.find("full with 2 requests") != std::string::npos);
  }
  CHECK(engine->stats().requests_refused == 3);
  running->cancel();
  CHECK(first.get());
  CHECK(second.get());
  CHECK(engine->generate(request("e", 3)).get());
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

TEST_CASE("stopping lets running requests finish in time, cancels the rest, and refuses newcomers",
          "[engine]") {
  EngineOptions options;
  options.pool_max = 1;
  options.drain_ms = 0;
  const auto engine = start(options);
  std::vector<std::future<Result<Generation>>> answers;
  for (int i = 0; i < 10; ++i) answers.push_back(engine->generate(request("x", 400)));
  engine->stop();
  engine->stop();
  for (auto& answer : answers) {
    REQUIRE(answer.wait_for(10s) == std::future_status::ready);
    CHECK(answer.get()->finish_reason == FinishReason::cancelled);
  }
  CHECK(engine->generate(request("late", 1)).get().error().code == Errc::draining);
  CHECK(engine->open_stream(request("late", 1)).error().code == Errc::draining);
}

TEST_CASE("a stream outlives its engine", "[engine]") {
  EngineOptions options;
  options.drain_ms = 0;
  auto engine = start(options);
  auto stream = engine->open_stream(request("x", 400));
  REQUIRE(stream);
  engine.reset();
  const auto result = stream->result();
  REQUIRE(result);
  CHECK(result->finish_reason == FinishReason::cancelled);
}

TEST_CASE("submitting while the engine stops gives every request one answer", "[engine]") {
  for (int round = 0; round < 10; ++round) {
    EngineOptions options;
    options.drain_ms = 0;
    const auto engine = start(options);
    std::atomic<int> answers{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 20; ++i) {
          if (t % 2 == 0) {
            static_cast<void>(engine->generate(request("x", 2)).get());
            ++answers;
          } else {
            const auto requests = Engine::seeded_requests(prompts(1), long_answers());
            answers += static_cast<int>(engine->batch(requests).size());
          }
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::microseconds(300 * round));
    engine->stop();
    for (auto& thread : threads) thread.join();
    CHECK(answers == 120);
  }
}

TEST_CASE("a callback that throws cancels what its batch has running", "[engine]") {
  EngineOptions one_at_a_time;
  one_at_a_time.pool_max = 1;  // so that others wait when the first ends
  const auto engine = start(one_at_a_time);
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

TEST_CASE("a wait longer than the clock reaches is a wait for ever", "[engine]") {
  const auto engine = start();
  auto stream = engine->open_stream(request("x", 3));
  REQUIRE(stream);
  bool timed_out = true;
  CHECK(stream->next_for(std::chrono::milliseconds::max(), timed_out));
  CHECK_FALSE(timed_out);
}

TEST_CASE("absurd thread counts are refused where models are opened and evaluated", "[engine]") {
  ModelOptions options;
  options.threads = 4'000'000'000U;
  CHECK(Model::open("no matter", options).error().code == Errc::bad_argument);
}

TEST_CASE("many threads submit, stream and cancel at once, and every request ends", "[engine]") {
  const auto engine = start();
  std::atomic<int> ended{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) {
        auto stream = engine->open_stream(request("thread", 20, static_cast<std::uint64_t>(t)));
        if (!stream) continue;
        if (i % 3 == 0) stream->cancel();
        if (stream->result()) ++ended;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(ended == 160);
  CHECK(engine->stats().requests_finished + engine->stats().requests_cancelled == 160);
}

TEST_CASE("engine options out of range are refused by name", "[engine]") {
  const auto message = [](auto change) {
    EngineOptions options;
    change(options);
    auto engine = Engine::start(test::toy_model(), options);
    return engine ? std::string() : engine.error().message;
  };
  CHECK(message([](auto& o) { o.pool_max = 0; }).find("pool_max") == 0);
  CHECK(message([](auto& o) { o.step_tokens_max = 4; }).find("step_tokens_max") == 0);
  CHECK(message([](auto& o) { o.stream_window_tokens = 0; }).find("stream_window_tokens") == 0);
  CHECK(message([](auto& o) { o.threads = 100'000; }).find("threads") == 0);
  CHECK(message([](auto& o) { o.kv_bytes_max = 10; }).find("KV cache") != std::string::npos);
  CHECK(message([](auto& o) { o.kv_bytes_max = std::uint64_t{1} << 60; }).find("KV cache") !=
        std::string::npos);
  CHECK(Engine::start(nullptr).error().code == Errc::bad_argument);
}

TEST_CASE("stories260K tells the reference story from GGUF and from llama2.c alike", "[engine]") {
  const char* file = GENERATE("stories260Ktok512.gguf", "stories260K.bin");
  const auto path = test::shared_data(std::string("models/stories260K/") + file);
  const auto reference = test::shared_data("models/stories260K/reference_greedy.json");
  if (!path || !reference) return;
  const auto model = Model::open(*path);
  REQUIRE(model);
  const auto engine = Engine::start(*model);
  REQUIRE(engine);
  std::ifstream stream(*reference);
  std::stringstream text;
  text << stream.rdbuf();
  const auto json = boost::json::parse(text.str());
  for (const auto& story : json.at("results").as_array()) {
    auto r = request(story.at("prompt").as_string().c_str(), 200);
    r.options.ignore_eos = false;
    r.options.sampling.temperature = 0;
    const auto result = (*engine)->generate(r).get();
    REQUIRE(result);
    const auto& want = story.at("greedy_tokens").as_array();
    REQUIRE(result->tokens.size() >= want.size());
    for (std::size_t i = 0; i < want.size(); ++i) REQUIRE(result->tokens[i] == want[i].to_number<Token>());
    CHECK(result->text.rfind(story.at("greedy_text").as_string().c_str(), 0) == 0);
  }
}
