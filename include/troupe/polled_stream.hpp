#pragma once
// A running answer for programs that have an event loop and must not wait: one asks what is there, and is
// told when there is more. asio.hpp is made of it; so can be the door to any other loop.

#include <cstdint>
#include <memory>
#include <optional>

#include "troupe/engine.hpp"

namespace troupe {

class StreamHost;     // internal
class PolledChannel;  // internal
class ReaderCredit;   // internal

/// Is told that a PolledStream has something new.
class Waker {
 public:
  virtual ~Waker() = default;

  /// Called once for each wake_on(): on a thread of the engine, or on the one that calls wake_on(). It must
  /// not wait for anything; reading the stream from it is fine. Meant to pass the word on, e.g. to post to a
  /// loop. Should it throw, the stream ends with an error.
  virtual void wake() = 0;
};

/// A request and its answer; no member ever waits. Destroying it before the end cancels the request.
/// Threads: cancel() and wake_on() may be called from any thread; the others by one thread at a time.
class PolledStream {
 public:
  /// What its owner means to read.
  enum class Reads : std::uint8_t {
    tokens,  ///< event by event, at most EngineOptions::stream_window_tokens of which wait here
    answer,  ///< only the whole answer, when it has ended; nothing holds the generator back
  };

  /// What a wake-up can be wanted for. Each also comes with the end.
  enum class Until : std::uint8_t {
    admitted,  ///< the request has been admitted, or refused, which is an end
    token,     ///< next() has an event
    ended,     ///< result() has the answer
  };

  PolledStream(PolledStream&&) noexcept;
  PolledStream& operator=(PolledStream&&) noexcept;
  ~PolledStream();

  /// The next event, if there is one now: nullopt means nothing yet, or after ended() nothing any more.
  /// Taking an event lets the generator make another.
  std::optional<TokenEvent> next();

  /// Whether there is a result, and no event left before it.
  bool ended() const;

  /// The whole answer, or what ended it; nullopt before there is one. All events are part of it, taken or
  /// not.
  std::optional<Result<Generation>> result() const;

  /// Asks for the end, which comes within one step, with FinishReason::cancelled.
  void cancel();

  /// Has waker->wake() called once, as soon as `until` holds: at once, if it does already. Replaces the waker
  /// of an earlier call that has not been called yet. Null: none.
  void wake_on(Until until, std::shared_ptr<Waker> waker);

 private:
  friend class Engine;
  friend class EngineDoor;
  PolledStream(std::weak_ptr<StreamHost> host, std::shared_ptr<PolledChannel> channel,
               std::unique_ptr<ReaderCredit> credit);
  void let_go();

  std::weak_ptr<StreamHost> host_;
  std::shared_ptr<PolledChannel> channel_;
  std::unique_ptr<ReaderCredit> credit_;
};

/// A way to an engine that does not keep it alive. Copied freely and used from any thread.
class EngineDoor {
 public:
  explicit EngineDoor(Engine& engine);

  /// Submits a request and returns at once; long texts are encoded on a thread of the engine. A refusal, as
  /// those of Engine::open_stream(), is the stream's end; when the engine has stopped or is gone, it has
  /// Errc::draining.
  PolledStream open(const GenerationRequest& request, PolledStream::Reads reads) const;

 private:
  std::weak_ptr<StreamHost> host_;
};

}  // namespace troupe
