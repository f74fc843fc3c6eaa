#pragma once
// The far ends of streams in the embedder's threads, and how those wait.

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <optional>

#include "actors/event_sink.hpp"
#include "troupe/polled_stream.hpp"

namespace troupe {

/// Puts an answer together from its events. Not thread-safe.
class Collector {
 public:
  void add(const TokenEvent& event) {
    if (event.token != no_token) answer_.tokens.push_back(event.token);
    answer_.text += event.text;
  }

  Generation finish(FinishReason reason, const Usage& usage, const Timings& timings) {
    answer_.finish_reason = reason;
    answer_.usage = usage;
    answer_.timings = timings;
    return std::move(answer_);
  }

 private:
  Generation answer_;
};

/// Lets a thread wait for a stream. Thread-safe.
class ThreadWaker final : public Waker {
 public:
  void wake() override;

  /// Waits until woken, or until `until`: then it is false.
  bool wait(std::optional<TimePoint> until);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

/// Fulfils a promise at the end of the stream.
class FutureListener final : public StreamListener {
 public:
  explicit FutureListener(std::promise<Result<Generation>> promise) : promise_(std::move(promise)) {}

  void on_token(TokenEvent event) override { collector_.add(event); }
  void on_end(FinishReason reason, const Usage& usage, const Timings& timings) override {
    promise_.set_value(collector_.finish(reason, usage, timings));
  }
  void on_error(Error error) override { promise_.set_value(std::move(error)); }

 private:
  std::promise<Result<Generation>> promise_;
  Collector collector_;
};

/// Collects the ends of many streams for one waiting thread: what Engine::batch() waits on. Thread-safe.
class BatchInbox {
 public:
  struct Item {
    std::size_t index;
    Result<Generation> result;
  };

  void put(std::size_t index, Result<Generation> result);
  /// The next end; waits until `until`, or for ever.
  std::optional<Item> take(std::optional<TimePoint> until);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
};

/// One prompt's stream in a batch.
class BatchListener final : public StreamListener {
 public:
  BatchListener(std::shared_ptr<BatchInbox> inbox, std::size_t index)
      : inbox_(std::move(inbox)), index_(index) {}

  void on_token(TokenEvent event) override { collector_.add(event); }
  void on_end(FinishReason reason, const Usage& usage, const Timings& timings) override {
    inbox_->put(index_, collector_.finish(reason, usage, timings));
  }
  void on_error(Error error) override { inbox_->put(index_, std::move(error)); }

 private:
  std::shared_ptr<BatchInbox> inbox_;
  std::size_t index_;
  Collector collector_;
};

}  // namespace troupe
