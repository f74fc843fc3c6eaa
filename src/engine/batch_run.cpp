#include "engine/batch_run.hpp"

#include <algorithm>

#include "base/try.hpp"
#include "engine/listeners.hpp"

namespace troupe {
namespace {

/// How long BatchOptions::on_progress waits to be called again: how soon a caller can give up.
constexpr auto progress_interval = std::chrono::milliseconds(50);

class BatchRun {
 public:
  BatchRun(std::span<const GenerationRequest> requests, const BatchOptions& options,
           const BatchEngine& engine)
      : requests_(requests),
        options_(options),
        engine_(engine),
        results_(requests.size()),
        running_(requests.size(), 0) {}

  ~BatchRun() { cancel_running(); }
  BatchRun(const BatchRun&) = delete;
  BatchRun& operator=(const BatchRun&) = delete;

  std::vector<Result<Generation>> run(std::size_t parallelism_max) {
    std::optional<TimePoint> retry;  // of the request that the full queue refused
    while (completed_ < requests_.size()) {
      const TimePoint now = std::chrono::steady_clock::now();
      if (given_up_ || (retry && now >= *retry)) retry.reset();
      while (next_ < requests_.size() && in_flight_ < parallelism_max && !retry) retry = start_next();
      if (completed_ == requests_.size()) break;
      std::optional<TimePoint> until = retry;
      if (options_.on_progress && !given_up_) {
        until = std::min(now + progress_interval, retry.value_or(TimePoint::max()));
      }
      if (auto item = inbox_->take(until)) {
        --in_flight_;
        running_[item->index] = 0;
        retry.reset();  // one of our own has left: there may be room now
        complete(item->index, std::move(item->result));
      } else {
        report_progress();
      }
    }
    std::vector<Result<Generation>> results;
    results.reserve(results_.size());
    for (auto& result : results_) results.push_back(*std::move(result));
    return results;
  }

 private:
  /// Submits the next request. When the queue is full, says when to try it again.
  std::optional<TimePoint> start_next() {
    const std::size_t index = next_;
    if (given_up_) {
      ++next_;
      Generation none;
      none.finish_reason = FinishReason::cancelled;
      complete(index, std::move(none));
      return std::nullopt;
    }
    const auto listener = std::make_shared<BatchListener>(inbox_, index);
    const Result<RequestId> admitted = submit(index, listener);
    if (!admitted && admitted.error().code == Errc::queue_full) {
      return std::chrono::steady_clock::now() + std::chrono::milliseconds(admitted.error().retry_after_ms);
    }
    ++next_;
    next_work_ = nullptr;
    if (admitted || !listener->claim_answer()) {
      running_[index] = admitted ? *admitted : 0;
      ++in_flight_;  // its answer comes, or has come, through the inbox
    } else {
      complete(index, admitted.error());
    }
    return std::nullopt;
  }

  Result<RequestId> submit(std::size_t index, const std::shared_ptr<StreamListener>& listener) {
    if (!next_work_) {
      TROUPE_TRY(next_work_, engine_.make_work(requests_[index]));
    }
    return engine_.submit(requests_[index], next_work_, listener);
  }

  void complete(std::size_t index, Result<Generation> result) {
    results_[index].emplace(std::move(result));
    ++completed_;
    while (reported_ < results_.size() && results_[reported_]) {
      if (options_.on_result) options_.on_result(reported_, *results_[reported_]);
      ++reported_;
    }
    report_progress();
  }

  void report_progress() {
    if (given_up_ || !options_.on_progress || options_.on_progress(completed_, requests_.size())) return;
    given_up_ = true;
    cancel_running();
  }

  void cancel_running() {
    for (const RequestId request : running_) {
      if (request != 0) engine_.cancel(request);
    }
  }

  std::span<const GenerationRequest> requests_;
  const BatchOptions& options_;
  const BatchEngine& engine_;
  std::shared_ptr<BatchInbox> inbox_ = std::make_shared<BatchInbox>();
  std::vector<std::optional<Result<Generation>>> results_;
  std::vector<RequestId> running_;         // by index; 0: not in flight
  std::shared_ptr<const Work> next_work_;  // of the next request, encoded once however often it is submitted
  std::size_t next_ = 0;                   // to submit
  std::size_t in_flight_ = 0;
  std::size_t completed_ = 0;
  std::size_t reported_ = 0;  // through on_result
  bool given_up_ = false;
};

}  // namespace

std::vector<Result<Generation>> run_batch(std::span<const GenerationRequest> requests,
                                          const BatchOptions& options, const BatchEngine& engine,
                                          std::size_t parallelism_max) {
  return BatchRun(requests, options, engine).run(parallelism_max);
}

}  // namespace troupe
