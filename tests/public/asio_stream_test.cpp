// async_stream and its pulls: windows, stalls, races, cancelling.

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

#include "public/asio_program.hpp"

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

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

TEST_CASE("only its own executor changes a stream's answer", "[asio]") {
  const auto engine = start();
  asio::io_context context;
  auto opened = async_stream(*engine, request("short", 3), asio::bind_executor(context, asio::use_future));
  context.run();
  AsyncStream stream = opened.get();
  wait_until_idle(*engine);
  bool ended = false;
  const auto pull = [&] {
    stream.async_next([&](error_code, const std::optional<TokenEvent>& event) { ended = !event; });
    CHECK(stream.answer().tokens.empty());
    context.restart();
    context.run();
  };
  while (!ended) pull();
  CHECK(stream.answer().tokens.size() == 3);
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
