// async_batch: order, a full queue, cancelling.

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/use_future.hpp>

#include "public/asio_program.hpp"

using namespace troupe;
using namespace troupe::test;

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

TEST_CASE("a batch that is given up ends as cancelled what a full queue has kept out", "[asio]") {
  EngineOptions options = one_place();
  options.queue_tokens_max = 70'000;  // one of those below
  const auto engine = start(long_context(options));
  // All are still being encoded when the first has failed, and most refused before the rest is given up.
  std::vector requests(8, request(std::string(10'000, 'x'), very_many));
  requests[0] = request("x", 1);
  requests[0].options.sampling.top_p = 9;
  BatchOptions batch;
  batch.parallelism_max = 8;
  batch.on_progress = [&](std::size_t, std::size_t) {
    while (engine->stats().requests_refused < 4) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return false;
  };
  run([&]() -> asio::awaitable<void> {
    const auto results = co_await async_batch(*engine, requests, batch, asio::use_awaitable);
    CHECK(results[0].error().code == Errc::bad_argument);
    for (std::size_t i = 1; i < 8; ++i) {
      INFO(i);
      REQUIRE(results[i]);
      CHECK(results[i]->finish_reason == FinishReason::cancelled);
    }
  });
}

TEST_CASE("a batch can be cancelled, given up, and broken by its own callbacks", "[asio]") {
  const auto engine = start(long_context(one_place()));
  const std::vector requests(20, request("long", very_many));
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
