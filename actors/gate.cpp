#include "actors/gate.hpp"

#include <string>

namespace troupe {

Gate::Gate(std::shared_ptr<Counters> counters, const EngineOptions& options)
    : counters_(std::move(counters)),
      encoding_max_(std::uint64_t{options.queue_requests_max} + options.pool_max) {}

Gate::Place::Place(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {
  gate_->encoding_.fetch_add(1, std::memory_order_relaxed);
}

Gate::Place::~Place() {
  gate_->encoding_.fetch_sub(1, std::memory_order_relaxed);
}

Result<std::shared_ptr<const Gate::Place>> Gate::enter() {
  if (auto full = queue_full()) return *std::move(full);
  // Some more may slip in at the same moment, at most one for each thread.
  if (encoding_.load(std::memory_order_relaxed) >= encoding_max_) {
    constexpr std::uint32_t retry_ms = 100;  // a template or a long text takes milliseconds
    return refused({Errc::queue_full,
                    std::to_string(encoding_max_) +
                        " requests, all that may wait and run, are still being encoded; retry in " +
                        std::to_string(retry_ms) + " ms",
                    retry_ms});
  }
  return std::make_shared<const Place>(shared_from_this());
}

std::optional<Error> Gate::queue_full() {
  const std::uint32_t retry_ms = counters_->queue_retry_ms;
  if (retry_ms == 0) return std::nullopt;
  return refused({Errc::queue_full,
                  "the queue is full with " + std::to_string(counters_->requests_queued) +
                      " requests, or with their tokens; retry in " + std::to_string(retry_ms) + " ms",
                  retry_ms});
}

Error Gate::refused(Error error) {
  bump(counters_->refusals[static_cast<std::size_t>(error.code)]);
  return error;
}

}  // namespace troupe
