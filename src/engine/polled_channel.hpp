#pragma once
// The inside of a PolledStream: filled by the sink actor, emptied by its reader, and never waited on.

#include <deque>
#include <mutex>
#include <optional>

#include "actors/event_sink.hpp"
#include "engine/listeners.hpp"
#include "troupe/polled_stream.hpp"

namespace troupe {

/// The engine, as far as its streams need it. Streams hold it weakly, because they may outlive it.
/// Thread-safe.
class StreamHost {
 public:
  virtual ~StreamHost() = default;

  /// Submits a request whose listener hears everything about it, a refusal included, on a thread of the
  /// engine; only that for a full queue comes at once, on the caller's. window_tokens: tokens that may be
  /// sent ahead of consumed(); 0: no limit.
  virtual void begin(const GenerationRequest& request, std::uint32_t window_tokens,
                     std::shared_ptr<StreamListener> listener) = 0;
  virtual void cancel(RequestId request) = 0;
  virtual void consumed(RequestId request, std::uint32_t tokens) = 0;
  /// The window and the patience that its streams have.
  virtual const EngineOptions& stream_options() const = 0;
};

/// Thread-safe. Bounded by the stream's window, because taking events is what gives the generator credit.
class PolledChannel final : public StreamListener {
 public:
  using Until = PolledStream::Until;

  PolledChannel(std::weak_ptr<StreamHost> host, PolledStream::Reads reads)
      : host_(std::move(host)), reads_(reads) {}

  void on_admitted(RequestId request) override;
  void on_token(TokenEvent event) override;
  void on_end(FinishReason reason, const Usage& usage, const Timings& timings) override;
  void on_error(Error error) override;

  std::optional<TokenEvent> next();
  bool ended() const;
  std::optional<Result<Generation>> result() const;
  RequestId request() const;  // 0 before its admission
  void cancel();
  void wake_on(Until until, std::shared_ptr<Waker> waker);

 private:
  bool holds(Until until) const;
  /// Gives up the lock, and wakes whom it concerns.
  void wake(std::unique_lock<std::mutex> lock);

  const std::weak_ptr<StreamHost> host_;
  const PolledStream::Reads reads_;

  mutable std::mutex mutex_;  // of all below
  RequestId request_ = 0;
  bool cancelled_ = false;
  std::deque<TokenEvent> events_;
  Collector collector_;
  std::optional<Result<Generation>> result_;
  Until until_ = Until::ended;
  std::shared_ptr<Waker> waker_;
};

}  // namespace troupe
