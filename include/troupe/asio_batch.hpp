#pragma once
// Internal to asio.hpp: async_batch(). Boost ≥ 1.81, headers only.

#include <utility>  // older Boost's coroutines forget it

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <set>
#include <variant>
#include <vector>

#include "troupe/asio_operation.hpp"
#include "troupe/batch_refusal.hpp"
#include "troupe/engine.hpp"

namespace troupe::detail {

/// Everything of it but the context's end runs on a strand of the handler's executor.
template <class Handler>
class BatchOperation final : public Operation<Handler> {
 public:
  BatchOperation(Handler handler, const EngineDoor& engine, std::vector<GenerationRequest> requests,
                 BatchOptions options)
      : Operation<Handler>(std::move(handler)),
        strand_(asio::make_strand(this->executor())),
        retry_(std::in_place, *strand_),
        engine_(engine),
        requests_(std::move(requests)),
        options_(std::move(options)),
        results_(requests_.size()),
        limit_(options_.parallelism_max) {}

  void begin() {
    on_strand([](BatchOperation& self) { self.go_on(); });
  }

  void cancel(asio::cancellation_type) {
    on_strand([](BatchOperation& self) {
      self.cancelled_ = true;
      self.give_up();
      self.go_on();
    });
  }

  void abandon() override {
    give_up();
    running_.clear();
    retry_.reset();
    strand_.reset();
    Operation<Handler>::abandon();
  }

 private:
  using Clock = std::chrono::steady_clock;

  /// One prompt that runs.
  struct Prompt final : Waker {
    Prompt(std::shared_ptr<BatchOperation> b, std::size_t i, PolledStream s)
        : batch(std::move(b)), index(i), stream(std::move(s)) {}

    void wake() override {
      batch->on_strand([i = index](BatchOperation& self) { self.ended(i); });
    }

    std::shared_ptr<BatchOperation> batch;
    std::size_t index;
    PolledStream stream;
  };

  /// Any thread.
  template <class Work>
  void on_strand(Work work) {
    this->watch().post_for(*this, [&] {
      if (strand_) asio::post(*strand_, [same = shared(), work] { work(*same); });
    });
  }

  std::shared_ptr<BatchOperation> shared() {
    return std::static_pointer_cast<BatchOperation>(this->shared_from_this());
  }

  /// Begins what may begin now, and completes when all have ended.
  void go_on() {
    if (!strand_) return;  // it is over
    while (running_.size() < limit_ && !waiting_ && !given_up_) {
      if (!refused_.empty()) {
        start(*refused_.begin());
      } else if (next_ < requests_.size()) {
        start(next_++);
      } else {
        break;
      }
    }
    while (given_up_ && next_ < requests_.size()) refused_.insert(next_++);
    while (given_up_ && !refused_.empty()) settle(*refused_.begin(), unbegun(FinishReason::cancelled));
    if (completed_ == results_.size()) finish();
  }

  void start(std::size_t index) {
    refused_.erase(index);
    try {
      const auto prompt = std::make_shared<Prompt>(
          shared(), index, engine_.open(requests_[index], PolledStream::Reads::answer));
      running_.emplace(index, prompt);
      prompt->stream.wake_on(PolledStream::Until::ended, prompt);
    } catch (const std::bad_alloc&) {
      running_.erase(index);
      settle(index, Error{Errc::too_large, "beginning a prompt: out of memory", 0});
    }
  }

  void ended(std::size_t index) {
    const auto found = running_.find(index);
    Result<Generation> result = *found->second->stream.result();
    running_.erase(found);
    waiting_ = false;  // one of ours has left: there may be room now
    AfterRefusal after =
        result ? std::move(result)
               : after_refusal(std::move(result).error(), requests_[index].deadline, given_up_, Clock::now());
    if (const auto* retry = std::get_if<Clock::time_point>(&after)) {
      // What runs now is what there was room for.
      limit_ = std::max<std::size_t>(1, running_.size());
      refused_.insert(index);
      wait_until(*retry);
    } else {
      limit_ = std::min<std::size_t>(limit_ + 1, options_.parallelism_max);
      settle(index, std::get<Result<Generation>>(std::move(after)));
    }
    go_on();
  }

  void wait_until(Clock::time_point time) {
    waiting_ = true;
    retry_->expires_at(time);
    retry_->async_wait([same = shared()](boost::system::error_code code) {
      if (code) return;  // set anew
      same->waiting_ = false;
      same->go_on();
    });
  }

  void settle(std::size_t index, Result<Generation> result) {
    refused_.erase(index);
    results_[index].emplace(std::move(result));
    ++completed_;
    try {
      while (reported_ < results_.size() && results_[reported_]) {
        const std::size_t i = reported_++;
        if (options_.on_result) options_.on_result(i, *results_[i]);
      }
      if (!given_up_ && options_.on_progress && !options_.on_progress(completed_, results_.size())) give_up();
    } catch (...) {
      options_.on_result = nullptr;
      cancel(asio::cancellation_type::all);
      throw;
    }
  }

  void give_up() {
    given_up_ = true;
    for (const auto& [index, prompt] : running_) prompt->stream.cancel();
  }

  void finish() {
    std::vector<Result<Generation>> results;
    results.reserve(results_.size());
    for (auto& result : results_) results.push_back(*std::move(result));
    results_.clear();
    boost::system::error_code code;
    if (cancelled_) code = asio::error::operation_aborted;
    this->watch().post_for(*this, [this] {
      retry_.reset();
      strand_.reset();
    });
    this->complete(code, std::move(results));
  }

  std::optional<asio::strand<typename Operation<Handler>::Executor>> strand_;  // until it is over
  std::optional<asio::steady_timer> retry_;                                    // for when the queue was full
  EngineDoor engine_;
  std::vector<GenerationRequest> requests_;
  BatchOptions options_;
  std::vector<std::optional<Result<Generation>>> results_;
  std::map<std::size_t, std::shared_ptr<Prompt>> running_;  // by index
  std::set<std::size_t> refused_;                           // by a full queue; to be tried again
  std::size_t limit_;     // how many may run: parallelism_max, or what the queue had room for lately
  std::size_t next_ = 0;  // never tried yet
  std::size_t completed_ = 0;
  std::size_t reported_ = 0;  // through on_result
  bool waiting_ = false;      // for room in the queue
  bool given_up_ = false;
  bool cancelled_ = false;  // by the cancellation slot
};

}  // namespace troupe::detail
