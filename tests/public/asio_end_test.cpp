// All operations when what they run on goes away: contexts, engines, and many threads at once.

#include <atomic>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>

#include "public/asio_program.hpp"

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

TEST_CASE("a context that is destroyed takes its handlers with it and cancels their requests", "[asio]") {
  const auto engine = start(long_context(one_place()));
  const auto held = std::make_shared<int>(0);
  bool called = false;
  {
    asio::io_context context;
    const auto callback = [held, &called](auto&&...) { called = true; };
    async_generate(*engine, request("long", very_many), asio::bind_executor(context, callback));
    async_generate(*engine, request("long", very_many),
                   asio::bind_executor(asio::make_strand(context), callback));
    async_stream(*engine, request("long", very_many),
                 asio::bind_executor(asio::make_strand(context), [held](error_code, const AsyncStream&) {}));
    async_batch(*engine, std::vector(5, request("long", very_many)), {},
                asio::bind_executor(asio::make_strand(context), callback));
    asio::co_spawn(
        asio::make_strand(context),
        [&, held]() -> asio::awaitable<void> {
          auto stream = co_await async_stream(*engine, request("long", very_many), asio::use_awaitable);
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
  EngineOptions options = long_context(one_place());
  options.drain_ms = 0;
  auto engine = start(options);
  asio::io_context context;
  int ended = 0;
  for (int i = 0; i < 5; ++i) {
    async_generate(*engine, request("long", very_many),
                   asio::bind_executor(context, [&](error_code code, const Answer& answer) {
                     ++ended;
                     CHECK((code == Errc::draining || answer.finish_reason == FinishReason::cancelled));
                   }));
  }
  int batches = 0;
  async_batch(*engine, std::vector(20, request("long", very_many)), {},
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
