#include "actors/counters.hpp"

#include <algorithm>
#include <numeric>

namespace troupe {
namespace {

// vLLM's buckets, so that its dashboards fit, with finer ones in front: in seconds …
constexpr double first_token_bounds[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06,
                                         0.08,   0.1,   0.25,   0.5,   0.75, 1,    2.5,  5,
                                         7.5,    10,    20,     40,    80,   160,  640,  2560};
constexpr double inter_token_bounds[] = {0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                         0.075,   0.1,    0.15,  0.2,    0.3,   0.4,  0.5,   0.75,
                                         1,       2.5,    5,     7.5,    10,    20,   40,    80};
constexpr double request_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2,  0.3, 0.5,
                                     0.8,   1,      1.5,   2,    2.5,   5,    10,  15,   20,  30,
                                     40,    50,     60,    120,  240,   480,  960, 1920, 7680};
constexpr double step_gap_bounds[] = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001,
                                      0.0025,  0.005,    0.01,    0.025,  0.05,    0.1,    1};
// … in tokens of a request, and in rows of a step.
constexpr double request_tokens_bounds[] = {1,   2,    5,    10,   20,    50,    100,   200,
                                            500, 1000, 2000, 5000, 10000, 20000, 50000, 100000};
constexpr double step_tokens_bounds[] = {1,   2,   4,    8,    16,   32,   64,   128,
                                         256, 512, 1024, 2048, 4096, 8192, 16384};

// What encoding and admission can answer.
constexpr Errc refusal_codes[] = {Errc::bad_argument, Errc::bad_file,         Errc::unsupported,
                                  Errc::too_large,    Errc::context_exceeded, Errc::queue_full,
                                  Errc::draining,     Errc::deadline,         Errc::fault};

}  // namespace

void Histogram::record(double value) noexcept {
  const auto bucket = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  bump(counts_[static_cast<std::size_t>(bucket)]);
  sum_.fetch_add(value, std::memory_order_relaxed);
}

HistogramSnapshot Histogram::snapshot() const {
  HistogramSnapshot snapshot;
  snapshot.bounds.assign(bounds_.begin(), bounds_.end());
  snapshot.counts.assign(counts_.begin(), counts_.end());
  snapshot.sum = sum();
  return snapshot;
}

std::uint64_t Histogram::count() const noexcept {
  return std::accumulate(counts_.begin(), counts_.end(), std::uint64_t{0});
}

Counters::Counters(std::size_t replicas)
    : replica_requests_running(replicas),
      queue_time(request_bounds),
      time_to_first_token(first_token_bounds),
      inter_token_latency(inter_token_bounds),
      request_latency(request_bounds),
      request_prompt_tokens(request_tokens_bounds),
      request_generation_tokens(request_tokens_bounds),
      step_tokens(step_tokens_bounds),
      step_time(inter_token_bounds),
      step_gap(step_gap_bounds),
      replica_pages_used(replicas) {}

void Counters::publish_pages(std::size_t replica, std::uint64_t used) {
  const std::uint64_t before = replica_pages_used[replica].exchange(used, std::memory_order_relaxed);
  const std::uint64_t more = used - before;  // or less, modulo 2^64
  const std::uint64_t all = kv_pages_used.fetch_add(more, std::memory_order_relaxed) + more;
  std::uint64_t peak = kv_pages_peak.load(std::memory_order_relaxed);
  while (all > peak && !kv_pages_peak.compare_exchange_weak(peak, all, std::memory_order_relaxed)) {
  }
}

EngineStats Counters::stats() const {
  const auto finished_by = [this](FinishReason reason) {
    return finished[static_cast<std::size_t>(reason)].load(std::memory_order_relaxed);
  };
  EngineStats stats;
  stats.requests_admitted = requests_admitted;
  stats.requests_refused = std::accumulate(refusals.begin(), refusals.end(), std::uint64_t{0});
  stats.requests_finished = finished_by(FinishReason::stop) + finished_by(FinishReason::length);
  stats.requests_cancelled = finished_by(FinishReason::cancelled) + finished_by(FinishReason::deadline);
  stats.requests_failed = requests_failed;
  stats.requests_queued = requests_queued;
  stats.requests_running = requests_running;
  stats.generators = generators;
  stats.preemptions = preemptions;
  stats.evictions = evictions;
  stats.replays = replays;
  stats.restarts = restarts;
  stats.reader_stalls = reader_stalls;
  stats.step_stalls = step_stalls;
  stats.stuck_batchers = stuck_batchers;
  stats.prompt_tokens = prompt_tokens;
  stats.completion_tokens = completion_tokens;
  stats.prompt_tokens_asked = prefix_tokens_asked;
  stats.prompt_tokens_reused = prefix_tokens_reused;
  stats.draft_tokens = draft_tokens;
  stats.draft_tokens_accepted = draft_tokens_accepted;
  stats.steps = step_tokens.count();
  stats.step_rows = static_cast<std::uint64_t>(step_tokens.sum());
  stats.step_seconds = step_time.sum();
  stats.step_gap_seconds = step_gap.sum();
  stats.kv_pages_used = kv_pages_used;
  stats.kv_pages_peak = kv_pages_peak;
  return stats;
}

Metrics Counters::snapshot() const {
  Metrics metrics;
  metrics.stats = stats();
  for (std::size_t i = 0; i < finish_reason_count; ++i)
    metrics.requests_by_outcome.emplace_back(finish_reason_name(static_cast<FinishReason>(i)), finished[i]);
  metrics.requests_by_outcome.emplace_back("error", requests_failed);
  for (const Errc code : refusal_codes)
    metrics.refusals_by_code.emplace_back(errc_name(code), refusals[static_cast<std::size_t>(code)]);
  for (std::size_t i = 0; i < replica_pages_used.size(); ++i)
    metrics.replicas.push_back({replica_requests_running[i], replica_pages_used[i]});
  metrics.queue_time = queue_time.snapshot();
  metrics.time_to_first_token = time_to_first_token.snapshot();
  metrics.inter_token_latency = inter_token_latency.snapshot();
  metrics.request_latency = request_latency.snapshot();
  metrics.request_prompt_tokens = request_prompt_tokens.snapshot();
  metrics.request_generation_tokens = request_generation_tokens.snapshot();
  metrics.step_tokens = step_tokens.snapshot();
  metrics.step_time = step_time.snapshot();
  metrics.step_gap = step_gap.snapshot();
  return metrics;
}

}  // namespace troupe
