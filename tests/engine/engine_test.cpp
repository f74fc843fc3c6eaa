// The engine as an embedder uses it: threads, futures, streams; batch_test.cpp has the batches.

#include "troupe/engine.hpp"

#include <atomic>
#include <boost/json.hpp>
#include <fstream>
#include <sstream>
#include <thread>

#include "engine/resolve.hpp"
#include "support/shared_data.hpp"
#include "support/toy_engine.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using test::one_place;
using test::request;
using test::start;

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
    std::uint64_t prompt_tokens = 0, cached_tokens = 0;
    for (const std::string& turn : turns) {
      const auto answer = engine->generate(request(turn, 30, 5)).get();
      REQUIRE(answer);
      answers[keep].push_back(answer->tokens);
      prompt_tokens += answer->usage.prompt_tokens;
      cached_tokens += answer->usage.cached_tokens;
      CHECK(answer->usage.cached_tokens < answer->usage.prompt_tokens);
    }
    const EngineStats stats = engine->stats();
    CHECK(cached_tokens == stats.prompt_tokens_reused);
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

TEST_CASE("stopping lets requests finish that have the time, and refuses newcomers", "[engine]") {
  EngineOptions options = one_place();
  options.drain_ms = 60'000;
  const auto engine = start(options);
  std::vector<std::future<Result<Generation>>> answers;
  for (int i = 0; i < 3; ++i) answers.push_back(engine->generate(request("x", 50)));
  engine->stop();
  for (auto& answer : answers) CHECK(answer.get()->tokens.size() == 50);
  CHECK(engine->generate(request("late", 1)).get().error().code == Errc::draining);
}

TEST_CASE("stopping cancels what has no more time, and refuses newcomers", "[engine]") {
  EngineOptions options = test::long_context(one_place());
  options.drain_ms = 0;
  const auto engine = start(options);
  std::vector<std::future<Result<Generation>>> answers;
  for (int i = 0; i < 10; ++i) answers.push_back(engine->generate(request("x", test::very_many)));
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
            answers += static_cast<int>(engine->batch(std::vector{request("y", 400)}).size());
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

TEST_CASE("many threads submit, stream and cancel at once; every request ends, and no other notices",
          "[engine]") {
  const auto engine = start();
  std::vector<std::vector<Token>> want;
  for (std::uint64_t t = 0; t < 8; ++t)
    want.push_back(engine->generate(request("thread", 20, t)).get()->tokens);
  std::atomic<int> ended{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 20; ++i) {
        auto stream = engine->open_stream(request("thread", 20, t));
        if (!stream) continue;
        const bool cancels = i % 3 == 0;
        for (std::size_t taken = 0; cancels && taken < i; ++taken) static_cast<void>(stream->next());
        if (cancels) stream->cancel();
        const auto result = stream->result();
        if (!result) continue;
        ++ended;
        const auto& got = result->tokens;
        wrong += got.size() > 20 || !std::equal(got.begin(), got.end(), want[t].begin());
        wrong += result->finish_reason != FinishReason::cancelled && got.size() != 20;
        wrong += result->finish_reason == FinishReason::cancelled && !cancels;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(ended == 160);
  CHECK(wrong == 0);
  CHECK(engine->stats().requests_finished + engine->stats().requests_cancelled == 168);
  test::wait_until_idle(*engine);
}

TEST_CASE("engine options out of range are refused by name", "[engine]") {
  const auto message = [](auto change) {
    EngineOptions options;
    change(options);
    auto engine = Engine::start(test::toy_model(), options);
    return engine ? std::string() : engine.error().message;
  };
  CHECK(message([](auto& o) { o.pool_max = 0; }).find("pool_max") == 0);
  CHECK(message([](auto& o) { o.step_tokens_max = 0; }).find("step_tokens_max") == 0);
  CHECK(message([](auto& o) { o.stream_window_tokens = 0; }).find("stream_window_tokens") == 0);
  CHECK(message([](auto& o) { o.threads = 100'000; }).find("threads") == 0);
  CHECK(message([](auto& o) { o.routing = Routing{7}; }).find("routing is 7") == 0);
  CHECK(message([](auto& o) { o.pool_shape = PoolShape{3}; }).find("pool_shape is 3") == 0);
  CHECK(message([](auto& o) { o.kv_precision = KvPrecision{9}; }).find("kv_precision is 9") == 0);
  CHECK(message([](auto& o) { o.replicas = 0; }).find("replicas") == 0);
  CHECK(message([](auto& o) { o.threads = 2, o.replicas = 3; }).find("replicas is 3, but threads is 2") == 0);
  CHECK(message([](auto& o) { o.kv_bytes_max = 10; }).find("KV cache") != std::string::npos);
  CHECK(message([](auto& o) { o.kv_bytes_max = std::uint64_t{1} << 60; }).find("KV cache") !=
        std::string::npos);
  CHECK(Engine::start(nullptr).error().code == Errc::bad_argument);
}

TEST_CASE("replicas divide the threads and the pages of the KV cache", "[engine]") {
  EngineOptions options;
  options.threads = 5;
  options.replicas = 3;
  options.pool_max = 4;
  options.context_tokens = 512;
  const auto resolved = resolve(options, *test::toy_model());
  REQUIRE(resolved);
  CHECK(resolved->threads_of(0) == 2);
  CHECK(resolved->threads_of(1) == 2);
  CHECK(resolved->threads_of(2) == 1);
  CHECK(resolved->kv_pages_max == 2 * 512 / 32);  // two sequences each, so that four find a place
  CHECK(resolved->kv_pages_total() == 6 * 512 / 32);
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
