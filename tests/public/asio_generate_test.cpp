// async_generate: tokens of completion, refusals, cancelling.

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/use_future.hpp>

#include "public/asio_program.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

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
  const auto engine = start(long_context());
  for (const auto type : {asio::cancellation_type::terminal, asio::cancellation_type::partial,
                          asio::cancellation_type::total}) {
    asio::io_context context;
    asio::cancellation_signal signal;
    bool called = false;
    async_generate(
        *engine, request("long", very_many),
        asio::bind_cancellation_slot(
            signal.slot(), asio::bind_executor(context, [&](error_code error, const Answer& answer) {
              called = true;
              CHECK(error == asio::error::operation_aborted);
              CHECK(answer.finish_reason == FinishReason::cancelled);
              CHECK(answer.tokens.size() < very_many);
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

TEST_CASE("a request that is cancelled before it would be refused was cancelled", "[asio]") {
  const auto engine = start();
  asio::io_context context;
  asio::cancellation_signal signal;
  bool called = false;
  async_generate(*engine,
                 request(std::string(1'000'000, 'x'), 5),  // far beyond the context, when it is encoded
                 asio::bind_cancellation_slot(
                     signal.slot(), asio::bind_executor(context, [&](error_code error, const Answer& answer) {
                       called = true;
                       CHECK(error == asio::error::operation_aborted);
                       CHECK_FALSE(answer.error);
                       CHECK(answer.finish_reason == FinishReason::cancelled);
                     })));
  signal.emit(asio::cancellation_type::total);
  context.run();
  CHECK(called);
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
