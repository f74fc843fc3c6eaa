// asio.hpp as a program that runs on Boost.Asio uses it.

#include "troupe/asio.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

#include "support/catch.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace std::chrono_literals;
namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr auto tuple_awaitable = asio::as_tuple(asio::use_awaitable);

std::unique_ptr<Engine> start(const EngineOptions& options = {}) {
  auto engine = Engine::start(test::toy_model(), options);
  REQUIRE(engine);
  return *std::move(engine);
}

EngineOptions one_place() {
  EngineOptions options;
  options.pool_max = 1;
  return options;
}

GenerationRequest request(const std::string& prompt, std::uint32_t max_tokens, std::uint64_t seed = 0) {
  GenerationRequest r;
  r.prompt = prompt;
  r.options.max_tokens = max_tokens;
  r.options.ignore_eos = true;
  r.options.sampling.seed = seed;
  return r;
}

/// Runs a coroutine to its end (in which no macro of Catch may have a co_await: it writes its argument twice)
/// on a context of its own, and rethrows what it throws.
template <class Body>
void run(Body body) {
  asio::io_context context;
  std::exception_ptr failure;
  asio::co_spawn(context, std::move(body), [&](const std::exception_ptr& e) { failure = e; });
  context.run();
  if (failure) std::rethrow_exception(failure);
}

template <class T>
struct CountingAllocator {
  using value_type = T;

  explicit CountingAllocator(int* c) : count(c) {}
  template <class U>
  CountingAllocator(const CountingAllocator<U>& other) : count(other.count) {}  // NOLINT: as allocators do

  T* allocate(std::size_t n) {
    ++*count;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) { std::allocator<T>().deallocate(p, n); }
  bool operator==(const CountingAllocator&) const = default;

  int* count;
};

/// Until the engine holds no KV pages and runs nothing.
void wait_until_idle(const Engine& engine) {
  for (int i = 0; i < 5000; ++i) {
    const EngineStats stats = engine.stats();
    if (stats.kv_pages_used == 0 && stats.requests_running == 0 && stats.requests_queued == 0) return;
    std::this_thread::sleep_for(1ms);
  }
  FAIL("the engine is still busy");
}

}  // namespace

TEST_CASE("a callback gets the whole answer on its own executor, and never at once", "[asio]") {
  const auto engine = start();
  asio::io_context context;
  bool called = false;
  async_generate(*engine, request("hello", 20),
                 asio::bind_executor(context, [&](error_code error, const Answer& answer) {
                   called = true;
                   CHECK(context.get_executor().running_in_this_thread());
                   CHECK_FALSE(error);
                   CHECK_FALSE(answer.error);
                   CHECK(answer.tokens.size() == 20);
                   CHECK(answer.finish_reason == FinishReason::length);
                   CHECK(answer.tokens == engine->generate(request("hello", 20)).get()->tokens);
                 }));
  CHECK_FALSE(called);
  context.run();  // has work until the answer is there
  CHECK(called);
}

TEST_CASE("futures, coroutines and deferred operations give the same answer as the engine", "[asio]") {
  const auto engine = start();
  const Generation want = *engine->generate(request("hello", 20)).get();
  CHECK(async_generate(*engine, request("hello", 20), asio::use_future).get().tokens == want.tokens);
  run([&]() -> asio::awaitable<void> {
    const Generation answer = co_await async_generate(*engine, request("hello", 20), asio::use_awaitable);
    CHECK(answer.text == want.text);
    auto later = async_generate(*engine, request("hello", 20), asio::deferred);
    const Answer deferred = co_await std::move(later)(asio::use_awaitable);
    CHECK(deferred.tokens == want.tokens);

    std::string text;
    AsyncStream stream = co_await async_stream(*engine, request("hello", 20), asio::use_awaitable);
    CHECK(stream.is_open());
    while (const auto event = co_await stream.async_next(asio::use_awaitable)) text += event->text;
    CHECK(text == want.text);
    CHECK(stream.answer().text == want.text);
    CHECK(stream.answer().usage.completion_tokens == 20);
    const auto again = co_await stream.async_next(asio::use_awaitable);
    CHECK_FALSE(again);
  });
}

TEST_CASE("refusals come with an error_code that compares, and with the whole error beside it", "[asio]") {
  const auto engine = start();
  run([&]() -> asio::awaitable<void> {
    auto bad = request("x", 5);
    bad.options.sampling.top_p = 9;
    auto [code, answer] = co_await async_generate(*engine, bad, tuple_awaitable);
    CHECK(code == Errc::bad_argument);
    CHECK(code == boost::system::errc::invalid_argument);
    CHECK(std::string(code.category().name()) == "troupe");
    REQUIRE(answer.error);
    CHECK(answer.error->message.find("top_p") != std::string::npos);

    auto [refused, stream] =
        co_await async_stream(*engine, request(std::string(10'000, 'x'), 5), tuple_awaitable);
    CHECK(refused == Errc::context_exceeded);
    CHECK_FALSE(stream.is_open());
    REQUIRE(stream.answer().error);
    CHECK(stream.answer().error->message.find("512") != std::string::npos);
    auto [no_stream, nothing] = co_await stream.async_next(tuple_awaitable);
    CHECK(no_stream == asio::error::bad_descriptor);
    CHECK_FALSE(nothing);
    bool thrown = false;
    try {
      co_await async_generate(*engine, bad, asio::use_awaitable);
    } catch (const boost::system::system_error& e) {
      thrown = e.code() == Errc::bad_argument;
    }
    CHECK(thrown);
  });
}

TEST_CASE("a full queue's time to retry reaches the handler", "[asio]") {
  EngineOptions options = one_place();
  options.queue_requests_max = 1;
  const auto engine = start(options);
  auto running = engine->open_stream(request("running", 400));  // nobody reads it: it stays
  REQUIRE(running);
  auto queued = engine->open_stream(request("queued", 400));
  run([&]() -> asio::awaitable<void> {
    auto [code, answer] = co_await async_generate(*engine, request("one too many", 5), tuple_awaitable);
    CHECK(code == Errc::queue_full);
    CHECK(code == boost::system::errc::resource_unavailable_try_again);
    REQUIRE(answer.error);
    CHECK(answer.error->retry_after_ms > 0);
  });
}

TEST_CASE("every type of cancellation ends a request and keeps what there was", "[asio]") {
  const auto engine = start();
  for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                          asio::cancellation_type::total}) {
    asio::io_context context;
    asio::cancellation_signal signal;
    bool called = false;
    async_generate(
        *engine, request("long", 480),
        asio::bind_cancellation_slot(
            signal.slot(), asio::bind_executor(context, [&](error_code error, const Answer& answer) {
              called = true;
              CHECK(error == asio::error::operation_aborted);
              CHECK(answer.finish_reason == FinishReason::cancelled);
              CHECK(answer.tokens.size() < 480);
            })));
    asio::post(context, [&] { signal.emit(type); });
    context.run();
    CHECK(called);
    signal.emit(type);  // too late for anything
  }
  wait_until_idle(*engine);
  CHECK(engine->stats().requests_cancelled == 3);
}

TEST_CASE("a request that waits for its turn is cancelled in the queue", "[asio]") {
  const auto engine = start(one_place());
  auto running = engine->open_stream(request("running", 400));
  REQUIRE(running);
  asio::io_context context;
  asio::cancellation_signal signal;
  bool called = false;
  async_generate(*engine, request("waits", 5),
                 asio::bind_cancellation_slot(
                     signal.slot(), asio::bind_executor(context, [&](error_code error, const Answer& answer) {
                       called = true;
                       CHECK(error == asio::error::operation_aborted);
                       CHECK(answer.tokens.empty());
                     })));
  signal.emit(asio::cancellation_type::terminal);
  context.run();
  CHECK(called);
}

TEST_CASE("a stream that nobody pulls stops at its window, and goes on when it is pulled", "[asio]") {
  EngineOptions options;
  options.stream_window_tokens = 16;
  const auto engine = start(options);
  run([&]() -> asio::awaitable<void> {
    auto slow = co_await async_stream(*engine, request("slow", 200), asio::use_awaitable);
    co_await async_generate(*engine, request("fast", 300), asio::use_awaitable);
    CHECK(engine->stats().requests_running == 1);
    CHECK(engine->stats().completion_tokens <= 300 + 16);
    while (co_await slow.async_next(asio::use_awaitable)) {
    }
    CHECK(slow.answer().tokens == engine->generate(request("slow", 200)).get()->tokens);
  });
}

TEST_CASE("a stream that is not pulled for too long ends with that error behind its last event", "[asio]") {
  EngineOptions options;
  options.reader_stall_ms_max = 20;
  options.stream_window_tokens = 4;
  const auto engine = start(options);
  run([&]() -> asio::awaitable<void> {
    auto stream = co_await async_stream(*engine, request("slow", 200), asio::use_awaitable);
    while (engine->stats().reader_stalls == 0) std::this_thread::sleep_for(1ms);
    for (int i = 0; i < 4; ++i) {
      const auto waiting = co_await stream.async_next(asio::use_awaitable);
      CHECK(waiting);
    }
    const auto [code, event] = co_await stream.async_next(tuple_awaitable);
    CHECK(code == Errc::reader_stalled);
    CHECK(code == boost::system::errc::timed_out);
    CHECK_FALSE(event);
    REQUIRE(stream.answer().error);
    CHECK(stream.answer().error->message.find("reader_stall_ms_max") != std::string::npos);
  });
}

TEST_CASE("many streams are pulled at once by one thread", "[asio]") {
  const auto engine = start();
  asio::io_context context;
  std::vector<std::vector<Token>> tokens(20);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    asio::co_spawn(
        context,
        [&, i]() -> asio::awaitable<void> {
          auto stream = co_await async_stream(*engine, request("many", 100, i), asio::use_awaitable);
          while (auto event = co_await stream.async_next(asio::use_awaitable)) {
            CHECK(event->index == tokens[i].size());
            if (event->token != no_token) tokens[i].push_back(event->token);
          }
        },
        asio::detached);
  }
  context.run();
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    CHECK(tokens[i] == engine->generate(request("many", 100, i)).get()->tokens);
  }
}

TEST_CASE("total cancellation of a pull ends the wait alone, and loses no event", "[asio]") {
  const auto engine = start(one_place());
  auto blocker = engine->open_stream(request("blocks", 400));
  REQUIRE(blocker);
  run([&]() -> asio::awaitable<void> {
    using namespace asio::experimental::awaitable_operators;
    auto stream = co_await async_stream(*engine, request("waits", 20), asio::use_awaitable);
    for (int i = 0; i < 3; ++i) {
      asio::cancellation_signal signal;
      asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
      timer.async_wait([&](error_code) { signal.emit(asio::cancellation_type::total); });
      auto [code, event] =
          co_await stream.async_next(asio::bind_cancellation_slot(signal.slot(), tuple_awaitable));
      CHECK(code == asio::error::operation_aborted);
      CHECK_FALSE(event);
    }
    blocker->cancel();
    std::vector<Token> tokens;
    while (auto event = co_await stream.async_next(asio::use_awaitable)) {
      if (event->token != no_token) tokens.push_back(event->token);
    }
    CHECK(tokens == engine->generate(request("waits", 20)).get()->tokens);
  });
}

TEST_CASE("losing a race against a timer cancels the pulled request", "[asio]") {
  const auto engine = start(one_place());
  auto blocker = engine->open_stream(request("blocks", 400));
  REQUIRE(blocker);
  run([&]() -> asio::awaitable<void> {
    using namespace asio::experimental::awaitable_operators;
    auto stream = co_await async_stream(*engine, request("waits", 20), asio::use_awaitable);
    asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
    const auto winner =
        co_await (stream.async_next(asio::use_awaitable) || timer.async_wait(asio::use_awaitable));
    CHECK(winner.index() == 1);
    while (co_await stream.async_next(asio::use_awaitable)) {
    }
    CHECK(stream.answer().finish_reason == FinishReason::cancelled);
  });
  blocker->cancel();
  wait_until_idle(*engine);
}

TEST_CASE("a stream takes one pull at a time, and its end aborts the one that waits", "[asio]") {
  const auto engine = start(one_place());
  auto blocker = engine->open_stream(request("blocks", 400));
  REQUIRE(blocker);
  asio::io_context context;
  std::vector<error_code> codes;
  {
    auto opened = async_stream(*engine, request("waits", 20), asio::bind_executor(context, asio::use_future));
    context.run();
    context.restart();
    AsyncStream stream = opened.get();
    CHECK(stream.get_executor() == context.get_executor());
    const auto note = [&](error_code code, const std::optional<TokenEvent>&) { codes.push_back(code); };
    stream.async_next(note);  // on the stream's executor
    stream.async_next(note);
    context.poll();
    CHECK(codes == std::vector<error_code>{asio::error::already_started});
  }
  context.run();
  CHECK(codes == std::vector<error_code>{asio::error::already_started, asio::error::operation_aborted});
  blocker->cancel();
  wait_until_idle(*engine);
}

TEST_CASE("a context that is destroyed takes its handlers with it and cancels their requests", "[asio]") {
  const auto engine = start(one_place());
  const auto held = std::make_shared<int>(0);
  bool called = false;
  {
    asio::io_context context;
    const auto callback = [held, &called](auto&&...) { called = true; };
    async_generate(*engine, request("long", 480), asio::bind_executor(context, callback));
    async_generate(*engine, request("long", 480), asio::bind_executor(asio::make_strand(context), callback));
    async_stream(*engine, request("long", 480),
                 asio::bind_executor(asio::make_strand(context), [held](error_code, const AsyncStream&) {}));
    async_batch(*engine, std::vector(5, request("long", 480)), {},
                asio::bind_executor(asio::make_strand(context), callback));
    asio::co_spawn(
        asio::make_strand(context),
        [&, held]() -> asio::awaitable<void> {
          auto stream = co_await async_stream(*engine, request("long", 480), asio::use_awaitable);
          while (co_await stream.async_next(asio::use_awaitable)) {
          }
        },
        asio::detached);
    context.run_for(5ms);
    CHECK(held.use_count() > 1);
  }
  CHECK_FALSE(called);
  CHECK(held.use_count() == 1);
  wait_until_idle(*engine);
}

TEST_CASE("operations end when their engine stops, and are refused afterwards", "[asio]") {
  EngineOptions options = one_place();
  options.drain_ms = 0;
  auto engine = start(options);
  asio::io_context context;
  int ended = 0;
  for (int i = 0; i < 5; ++i) {
    async_generate(*engine, request("long", 480),
                   asio::bind_executor(context, [&](error_code code, const Answer& answer) {
                     ++ended;
                     CHECK((code == Errc::draining || answer.finish_reason == FinishReason::cancelled));
                   }));
  }
  int batches = 0;
  async_batch(*engine, std::vector(20, request("long", 480)), {},
              asio::bind_executor(context, [&](error_code code, const std::vector<Result<Generation>>& all) {
                ++batches;
                CHECK_FALSE(code);
                CHECK(all.size() == 20);
                CHECK(all.back().error().code == Errc::draining);
              }));
  context.run_for(2ms);
  engine->stop();
  async_stream(*engine, request("late", 5), asio::bind_executor(context, [&](error_code code, AsyncStream) {
    ++ended;
    CHECK(code == Errc::draining);
  }));
  auto later = async_generate(*engine, request("later", 5), asio::deferred);
  engine.reset();
  std::move(later)(asio::bind_executor(context, [&](error_code code, const Answer&) {
    ++ended;
    CHECK(code == Errc::draining);
  }));
  context.restart();
  context.run();
  CHECK(ended == 7);
  CHECK(batches == 1);
}

TEST_CASE("an asynchronous batch keeps order and errors apart, and waits out a full queue", "[asio]") {
  EngineOptions options;
  options.pool_max = 2;
  options.queue_requests_max = 3;
  const auto engine = start(options);
  std::vector<GenerationRequest> requests;
  for (std::size_t i = 0; i < 30; ++i) requests.push_back(request("prompt " + std::to_string(i), 3, i));
  requests[3].options.sampling.top_p = 9;
  std::vector<std::size_t> order;
  std::size_t last = 0;
  BatchOptions batch;
  batch.parallelism_max = 30;
  batch.on_result = [&](std::size_t index, const Result<Generation>&) { order.push_back(index); };
  batch.on_progress = [&](std::size_t completed, std::size_t total) {
    CHECK(completed == ++last);
    CHECK(total == 30);
    return true;
  };
  run([&]() -> asio::awaitable<void> {
    const auto results = co_await async_batch(*engine, requests, batch, asio::use_awaitable);
    REQUIRE(results.size() == 30);
    for (std::size_t i = 0; i < 30; ++i) {
      INFO(i);
      CHECK(order[i] == i);
      REQUIRE(results[i].ok() == (i != 3));
      if (i != 3) CHECK(results[i]->tokens == engine->generate(requests[i]).get()->tokens);
    }
    const auto nothing = co_await async_batch(*engine, {}, {}, asio::use_awaitable);
    CHECK(nothing.empty());
  });
}

TEST_CASE("a batch without an executor of its own runs on Asio's threads", "[asio]") {
  EngineOptions options;
  options.pool_max = 2;
  options.queue_requests_max = 1;
  const auto engine = start(options);
  BatchOptions batch;
  batch.parallelism_max = 10;
  const auto results = async_batch(*engine, std::vector(20, request("x", 3)), batch, asio::use_future).get();
  for (const auto& result : results) CHECK(result.ok());
}

TEST_CASE("a batch can be cancelled, given up, and broken by its own callbacks", "[asio]") {
  const auto engine = start(one_place());
  const std::vector requests(20, request("long", 480));
  {
    asio::io_context context;
    asio::cancellation_signal signal;
    bool called = false;
    async_batch(*engine, requests, {},
                asio::bind_cancellation_slot(
                    signal.slot(), asio::bind_executor(context, [&](error_code code, const auto& results) {
                      called = true;
                      CHECK(code == asio::error::operation_aborted);
                      REQUIRE(results.size() == 20);
                      CHECK(results.back()->finish_reason == FinishReason::cancelled);
                    })));
    asio::post(context, [&] { signal.emit(asio::cancellation_type::total); });
    context.run();
    CHECK(called);
  }
  run([&]() -> asio::awaitable<void> {
    auto short_ones = requests;
    for (auto& r : short_ones) r.options.max_tokens = 2;
    BatchOptions batch;
    batch.on_progress = [](std::size_t completed, std::size_t) { return completed < 3; };
    const auto results = co_await async_batch(*engine, short_ones, batch, asio::use_awaitable);
    CHECK(results.front()->finish_reason == FinishReason::length);
    CHECK(results.back()->finish_reason == FinishReason::cancelled);
  });
  asio::io_context context;
  BatchOptions throwing;
  throwing.on_result = [](std::size_t, const Result<Generation>&) { throw std::runtime_error("mine"); };
  auto short_ones = requests;
  for (auto& r : short_ones) r.options.max_tokens = 2;
  auto results = async_batch(*engine, short_ones, throwing, asio::bind_executor(context, asio::use_future));
  CHECK_THROWS_AS(context.run(), std::runtime_error);
  context.run();
  CHECK_THROWS_AS(results.get(), boost::system::system_error);
  wait_until_idle(*engine);
}

TEST_CASE("the handler's call is allocated by the handler's allocator", "[asio]") {
  const auto engine = start();
  asio::io_context context;
  int allocations = 0;
  bool called = false;
  const auto callback = [&](error_code, const Answer&) { called = true; };
  async_generate(
      *engine, request("x", 3),
      asio::bind_allocator(CountingAllocator<int>(&allocations), asio::bind_executor(context, callback)));
  context.run();
  CHECK(called);
  CHECK(allocations > 0);
}

TEST_CASE("requests are cancelled and answered exactly once from many threads", "[asio]") {
  const auto engine = start();
  asio::thread_pool pool(4);
  std::atomic<int> ended{0};
  for (int i = 0; i < 100; ++i) {
    asio::co_spawn(
        asio::make_strand(pool),
        [&, i]() -> asio::awaitable<void> {
          using namespace asio::experimental::awaitable_operators;
          asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::microseconds(200 * i));
          if (i % 2 == 0) {
            co_await (async_generate(*engine, request("x", 100), asio::use_awaitable) ||
                      timer.async_wait(asio::use_awaitable));
          } else {
            auto stream = co_await async_stream(*engine, request("x", 100), asio::use_awaitable);
            for (int taken = 0; taken < i; ++taken) {
              if (!co_await stream.async_next(asio::use_awaitable)) break;
            }
          }
        },
        [&](const std::exception_ptr& failure) { ended += failure == nullptr; });
  }
  pool.join();
  CHECK(ended == 100);
  wait_until_idle(*engine);
  const EngineStats stats = engine->stats();
  CHECK(stats.requests_admitted == 100);
  CHECK(stats.requests_finished + stats.requests_cancelled == 100);
}
