#include "engine/batch_run.hpp"

#include <algorithm>
#include <deque>

#include "base/try.hpp"
#include "engine/listeners.hpp"
#include "troupe/batch_refusal.hpp"

namespace troupe {
namespace {

/// How long BatchOptions::on_progress waits to be called again: how soon a caller can give up. Also how soon
/// a source that had nothing is asked again.
constexpr auto progress_interval = std::chrono::milliseconds(50);

class BatchRun {
 public:
  BatchRun(const BatchSource& source, const BatchOptions& options, const BatchEngine& engine,
           const BatchSink& sink)
      : source_(source), options_(options), engine_(engine), sink_(sink) {}

  ~BatchRun() { cancel_running(); }
  BatchRun(const BatchRun&) = delete;
  BatchRun& operator=(const BatchRun&) = delete;

  std::size_t run(std::size_t parallelism_max) {
    std::optional<TimePoint> retry;  // of the request that the full queue refused
    while (true) {
      const TimePoint now = std::chrono::steady_clock::now();
      if (given_up_ || (retry && now >= *retry)) retry.reset();
      bool source_empty = false;  // for now
      while (in_flight_ < parallelism_max && !retry && has_next(source_empty)) retry = start_next();
      if (exhausted_ && next_ == nullptr && pending_.empty()) return reported_;
      std::optional<TimePoint> until = retry;
      if (source_empty || (options_.on_progress && !given_up_)) {
        until = std::min(now + progress_interval, retry.value_or(TimePoint::max()));
      }
      if (auto item = inbox_->take(until)) {
        --in_flight_;
        pending_[item->index - reported_].running = 0;
        retry.reset();  // one of our own has left: there may be room now
        complete(item->index, std::move(item->result));
      } else {
        report_progress();
      }
    }
  }

 private:
  struct Pending {          // read, and its result not handed out yet
    RequestId running = 0;  // 0: not in flight
    std::optional<Result<Generation>> result;
  };

  std::size_t read() const { return reported_ + pending_.size(); }

  /// Whether there is a request to start; reads it if need be.
  bool has_next(bool& source_empty) {
    if (next_ != nullptr) return true;
    if (given_up_ && !source_.total) exhausted_ = true;
    if (exhausted_ || pending_.size() >= source_.pending_max) return false;
    if (source_.ready && !source_.ready()) {
      source_empty = true;
      return false;
    }
    next_ = source_.next();
    exhausted_ = next_ == nullptr;
    if (exhausted_) return false;
    pending_.emplace_back();
    return true;
  }

  /// Submits the next request, the last that was read. When the queue is full, says when to try it again: at
  /// its deadline at the latest, which ends it here as it would anywhere.
  std::optional<TimePoint> start_next() {
    const std::size_t index = read() - 1;
    if (given_up_) {
      next_ = nullptr;
      complete(index, detail::unbegun(FinishReason::cancelled));
      return std::nullopt;
    }
    const auto listener = std::make_shared<BatchListener>(inbox_, index);
    Result<RequestId> admitted = submit(listener);
    std::optional<Result<Generation>> ended;
    if (admitted || !listener->claim_answer()) {
      pending_.back().running = admitted ? *admitted : 0;
      ++in_flight_;  // its answer comes, or has come, through the inbox
    } else {
      auto after = detail::after_refusal(std::move(admitted).error(), next_->deadline, given_up_,
                                         std::chrono::steady_clock::now());
      if (const auto* retry = std::get_if<TimePoint>(&after)) return *retry;
      ended = std::get<Result<Generation>>(std::move(after));
      if (*ended && next_work_)
        (*ended)->usage.prompt_tokens = static_cast<std::uint32_t>(next_work_->prompt.size());
    }
    next_ = nullptr;
    next_work_ = nullptr;
    if (ended) complete(index, *std::move(ended));
    return std::nullopt;
  }

  Result<RequestId> submit(const std::shared_ptr<StreamListener>& listener) {
    if (!next_work_) {
      TROUPE_TRY(next_work_, engine_.make_work(*next_));
    }
    return engine_.submit(*next_, next_work_, listener);
  }

  void complete(std::size_t index, Result<Generation> result) {
    pending_[index - reported_].result.emplace(std::move(result));
    ++completed_;
    while (!pending_.empty() && pending_.front().result) {
      if (options_.on_result) options_.on_result(reported_, *pending_.front().result);
      sink_(reported_, *std::move(pending_.front().result));
      pending_.pop_front();
      ++reported_;
    }
    report_progress();
  }

  void report_progress() {
    if (given_up_ || !options_.on_progress) return;
    const std::size_t known = exhausted_ ? read() : 0;
    if (options_.on_progress(completed_, source_.total.value_or(known))) return;
    given_up_ = true;
    cancel_running();
  }

  void cancel_running() {
    for (const Pending& pending : pending_) {
      if (pending.running != 0) engine_.cancel(pending.running);
    }
  }

  const BatchSource& source_;
  const BatchOptions& options_;
  const BatchEngine& engine_;
  const BatchSink& sink_;
  std::shared_ptr<BatchInbox> inbox_ = std::make_shared<BatchInbox>();
  std::deque<Pending> pending_;
  const GenerationRequest* next_ = nullptr;  // read, and not submitted yet
  std::shared_ptr<const Work> next_work_;    // its, encoded once however often it is submitted
  std::size_t in_flight_ = 0;
  std::size_t completed_ = 0;
  std::size_t reported_ = 0;  // through on_result: the index of pending_.front()
  bool exhausted_ = false;    // the source has no more
  bool given_up_ = false;
};

}  // namespace

std::size_t run_batch(const BatchSource& source, const BatchOptions& options, const BatchEngine& engine,
                      std::size_t parallelism_max, const BatchSink& sink) {
  return BatchRun(source, options, engine, sink).run(parallelism_max);
}

}  // namespace troupe
