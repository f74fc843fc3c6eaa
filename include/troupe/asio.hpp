#pragma once
// Troupe for programs that run on Boost.Asio (≥ 1.81, headers only): requests as asynchronous operations with
// any completion token.
//
//   asio::awaitable<void> tell(troupe::Engine& engine) {
//     auto stream = co_await troupe::async_stream(engine, {.prompt = "Once"}, asio::use_awaitable);
//     while (auto event = co_await stream.async_next(asio::use_awaitable))
//       std::cout << event->text;
//   }
//
// Threads: no thread waits for anything, neither yours nor one of the engine. Handlers run by way of their
// associated executor, never inside the function that began the operation; handlers without one run on Asio's
// system executor, so give callbacks yours with asio::bind_executor. The handler's associated allocator is
// used for the call that is posted.
//
// Errors: the error_code has an Errc (error_code.hpp; refusals are those of Engine::open_stream()), or
// asio::error::operation_aborted. What an error_code has no room for, the sentence and the time to retry, is
// in Answer::error: take it with asio::as_tuple where the completion token would throw.
//
// Cancellation: all types (terminal, partial, total) cancel the request within one step, and the operation
// completes with operation_aborted. async_generate and async_batch still have in their answers what was there
// by then, with FinishReason::cancelled. The exception is AsyncStream::async_next, whose stream can outlive
// it: there total ends the wait alone, losing nothing, and terminal and partial cancel the request too. An
// answer that the deadline or a stopping engine ended is no error: its finish_reason says so.
//
// Lifetime: operations do not keep the engine. When it stops, they end as its requests do; begun later, they
// complete with Errc::draining. When the execution context is destroyed first, handlers are destroyed
// uncalled and their requests cancelled, as is usual in Asio.

#include <utility>  // older Boost's coroutines forget it

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "troupe/asio_batch.hpp"
#include "troupe/asio_operation.hpp"
#include "troupe/engine.hpp"
#include "troupe/error_code.hpp"

namespace troupe {

/// An answer as handlers get it. It has either `error`, when it failed, or what a Generation has.
struct Answer : Generation {
  std::optional<Error> error = {};
};

namespace detail {

inline Answer to_answer(Result<Generation> result) {
  Answer answer;
  if (result) {
    static_cast<Generation&>(answer) = *std::move(result);
  } else {
    answer.error = std::move(result).error();
  }
  return answer;
}

inline boost::system::error_code code_of(const Answer& answer) {
  return answer.error ? make_error_code(answer.error->code) : boost::system::error_code();
}

/// async_generate(): done when the answer is.
template <class Handler>
class GenerateOperation final : public WokenOperation<Handler> {
 public:
  using WokenOperation<Handler>::WokenOperation;

  void begin(const EngineDoor& engine, const GenerationRequest& request) {
    stream_.emplace(engine.open(request, PolledStream::Reads::answer));
    stream_->wake_on(PolledStream::Until::ended, this->waker());
  }

  void wake() override {
    Answer answer = to_answer(*stream_->result());
    boost::system::error_code code = code_of(answer);
    if (cancelled_ && !code && answer.finish_reason == FinishReason::cancelled)
      code = asio::error::operation_aborted;
    this->complete(code, std::move(answer));
  }

  void cancel(asio::cancellation_type) {
    cancelled_ = true;
    stream_->cancel();
  }

  void abandon() override {
    stream_->cancel();
    Operation<Handler>::abandon();
  }

 private:
  std::optional<PolledStream> stream_;
  std::atomic<bool> cancelled_{false};
};

/// Shared by an AsyncStream and the async_next() that waits.
struct StreamState {
  std::optional<PolledStream> stream;  // none: refused
  std::atomic<bool> pulling{false};
  std::atomic<bool> closed{false};  // its AsyncStream is gone

  // On the stream's executor only:
  bool ended = false;  // `answer` is there
  Answer answer;
};

/// async_next(): done when there is an event, or none any more.
template <class Handler>
class NextOperation final : public WokenOperation<Handler, asio::any_io_executor> {
 public:
  NextOperation(Handler handler, const asio::any_io_executor& executor, std::shared_ptr<StreamState> state)
      : WokenOperation<Handler, asio::any_io_executor>(std::move(handler), executor),
        state_(std::move(state)) {}

  void begin() {
    if (state_->pulling.exchange(true)) {
      claimed_ = true;
      return this->complete(boost::system::error_code(asio::error::already_started),
                            std::optional<TokenEvent>());
    }
    state_->stream->wake_on(PolledStream::Until::token, this->waker());
  }

  void wake() override {
    if (claimed_.exchange(true)) return;
    std::optional<TokenEvent> event = state_->stream->next();
    boost::system::error_code code;
    std::optional<Answer> answer;
    if (!event && state_->closed) {
      code = asio::error::operation_aborted;
    } else if (!event) {
      answer = to_answer(*state_->stream->result());
      code = code_of(*answer);
    }
    state_->pulling = false;
    auto keep = [state = state_, answer = std::move(answer)](auto&...) mutable {
      if (!answer || std::exchange(state->ended, true)) return;
      state->answer = *std::move(answer);
    };
    this->complete_after(std::move(keep), code, std::move(event));
  }

  void cancel(asio::cancellation_type type) {
    if (claimed_.exchange(true)) return;  // too late
    constexpr auto total = asio::cancellation_type::total;
    if ((type & ~total) != asio::cancellation_type::none) state_->stream->cancel();
    state_->stream->wake_on(PolledStream::Until::token, nullptr);
    state_->pulling = false;
    this->complete(boost::system::error_code(asio::error::operation_aborted), std::optional<TokenEvent>());
  }

  void abandon() override {
    state_->stream->cancel();
    Operation<Handler, asio::any_io_executor>::abandon();
  }

 private:
  std::shared_ptr<StreamState> state_;
  std::atomic<bool> claimed_{false};  // who sets it reads the stream and completes
};

}  // namespace detail

/// A running answer, pulled event by event. At most EngineOptions::stream_window_tokens are generated ahead
/// of what was pulled; then its generator pauses. Destroying it cancels the request, and ends a waiting
/// async_next() with operation_aborted. Not thread-safe; use it on its executor or a strand of it.
class AsyncStream {
 public:
  using executor_type = boost::asio::any_io_executor;

  AsyncStream() = default;                                                   ///< no stream
  explicit AsyncStream(std::shared_ptr<detail::StreamState> state) noexcept  // internal
      : state_(std::move(state)) {}
  AsyncStream(AsyncStream&&) noexcept = default;
  AsyncStream& operator=(AsyncStream&& other) noexcept {
    if (this != &other) close();
    executor_ = std::move(other.executor_);
    state_ = std::move(other.state_);
    return *this;
  }
  ~AsyncStream() { close(); }

  /// That of async_stream()'s handler; where async_next()'s handlers run that have none themselves.
  executor_type get_executor() const noexcept { return executor_; }
  void set_executor(executor_type executor) { executor_ = std::move(executor); }  // internal

  /// Whether the request was admitted; it may have ended since.
  bool is_open() const noexcept { return state_ && state_->stream; }

  /// The next event; void(error_code, std::optional<TokenEvent>). nullopt without an error: the answer has
  /// ended and answer() is there. After an error of Troupe's too. One call at a time: another completes with
  /// already_started. Without an open stream: bad_descriptor.
  template <class CompletionToken>
  auto async_next(CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken,
                                       void(boost::system::error_code, std::optional<TokenEvent>)>(
        [](auto handler, const executor_type& executor, const std::shared_ptr<detail::StreamState>& state) {
          if (state && state->stream) {
            detail::make_operation<detail::NextOperation>(std::move(handler), executor, state)->begin();
            return;
          }
          using Nothing = detail::Delivery<decltype(handler), detail::DoNothing, boost::system::error_code,
                                           std::optional<TokenEvent>>;
          const auto mine = boost::asio::get_associated_executor(handler);
          boost::asio::post(
              mine, Nothing{std::move(handler), {}, {boost::asio::error::bad_descriptor, std::nullopt}});
        },
        token, executor_, state_);
  }

  /// Asks for the end, which comes within one step: async_next() then gives what is there, and nullopt.
  void cancel() {
    if (is_open()) state_->stream->cancel();
  }

  /// After the last event: the whole answer and how it ended. After a refusal, or an error of async_next():
  /// the error in full. Before: empty.
  const Answer& answer() const noexcept {
    static const Answer none;
    return state_ ? state_->answer : none;
  }

 private:
  void close() {
    if (!is_open()) return;
    state_->closed = true;
    state_->stream->cancel();
  }

  executor_type executor_;
  std::shared_ptr<detail::StreamState> state_;
};

namespace detail {

/// async_stream(): done when the request is admitted or refused.
template <class Handler>
class OpenOperation final : public WokenOperation<Handler> {
 public:
  using WokenOperation<Handler>::WokenOperation;

  void begin(const EngineDoor& engine, const GenerationRequest& request) {
    stream_.emplace(engine.open(request, PolledStream::Reads::tokens));
    stream_->wake_on(PolledStream::Until::admitted, this->waker());
  }

  void wake() override {
    if (claimed_.exchange(true)) return;
    const auto state = std::make_shared<StreamState>();
    if (auto result = stream_->result(); result && !*result) {
      state->answer = to_answer(*std::move(result));
    } else {
      state->stream.emplace(std::move(*stream_));
    }
    constexpr auto take_executor = [](const Handler& handler, auto&, AsyncStream& stream) {
      stream.set_executor(asio::get_associated_executor(handler));
    };
    this->complete_after(take_executor, code_of(state->answer), AsyncStream(state));
  }

  void cancel(asio::cancellation_type) {
    if (claimed_.exchange(true)) return;
    stream_->cancel();
    this->complete(boost::system::error_code(asio::error::operation_aborted), AsyncStream());
  }

  void abandon() override {
    if (!claimed_.exchange(true)) stream_->cancel();
    Operation<Handler>::abandon();
  }

 private:
  std::optional<PolledStream> stream_;
  std::atomic<bool> claimed_{false};  // who sets it has the stream
};

}  // namespace detail

/// Begins an answer and completes with all of it: void(error_code, Answer).
template <class CompletionToken>
auto async_generate(Engine& engine, GenerationRequest request, CompletionToken&& token) {
  return boost::asio::async_initiate<CompletionToken, void(boost::system::error_code, Answer)>(
      [](auto handler, const EngineDoor& door, const GenerationRequest& wanted) {
        detail::make_operation<detail::GenerateOperation>(std::move(handler))->begin(door, wanted);
      },
      token, EngineDoor(engine), std::move(request));
}

/// Begins an answer that is to be pulled, and completes when it is admitted: void(error_code, AsyncStream).
/// Refused: the stream is not open, and its answer().error says why.
template <class CompletionToken>
auto async_stream(Engine& engine, GenerationRequest request, CompletionToken&& token) {
  return boost::asio::async_initiate<CompletionToken, void(boost::system::error_code, AsyncStream)>(
      [](auto handler, const EngineDoor& door, const GenerationRequest& wanted) {
        detail::make_operation<detail::OpenOperation>(std::move(handler))->begin(door, wanted);
      },
      token, EngineDoor(engine), std::move(request));
}

/// Answers many prompts, at most options.parallelism_max at once, and completes with the results in the order
/// of the requests: void(error_code, std::vector<Result<Generation>>). One prompt's error does not disturb
/// the others, and is not the operation's. Refusals for a full queue are waited out.
///
/// options.on_progress (after each prompt's end only) and options.on_result are called by way of the
/// handler's executor, one at a time. What they throw leaves through the context's run(); the rest is then
/// cancelled.
template <class CompletionToken>
auto async_batch(Engine& engine, std::vector<GenerationRequest> requests, BatchOptions options,
                 CompletionToken&& token) {
  if (options.parallelism_max == 0) options.parallelism_max = engine.options().pool_max;
  return boost::asio::async_initiate<CompletionToken,
                                     void(boost::system::error_code, std::vector<Result<Generation>>)>(
      [](auto handler, const EngineDoor& door, std::vector<GenerationRequest> wanted, BatchOptions how) {
        detail::make_operation<detail::BatchOperation>(std::move(handler), door, std::move(wanted),
                                                       std::move(how))
            ->begin();
      },
      token, EngineDoor(engine), std::move(requests), std::move(options));
}

}  // namespace troupe
