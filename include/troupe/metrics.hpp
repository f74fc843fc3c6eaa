#pragma once
// What an engine does, in numbers: Engine::stats() and Engine::metrics() take snapshots, and the functions
// here turn one into text for other programs. Taking a snapshot costs microseconds and disturbs nothing: the
// engine keeps its numbers in relaxed atomics. So each is whole, but they need not be of exactly the same
// moment.
//
// Plain values, freely copied. The functions are pure and may be called from any thread.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace troupe {

/// Numbers of one moment; counters count from the engine's start.
struct EngineStats {
  std::uint64_t requests_admitted = 0;
  std::uint64_t requests_refused = 0;
  std::uint64_t requests_finished = 0;   ///< with a finish reason stop or length
  std::uint64_t requests_cancelled = 0;  ///< cancelled or past their deadline
  std::uint64_t requests_failed = 0;
  std::uint32_t requests_queued = 0;   ///< waiting for a generator now
  std::uint32_t requests_running = 0;  ///< holding a generator now
  std::uint32_t generators = 0;        ///< alive now and not told to quit, idle ones included
  std::uint64_t preemptions = 0;       ///< requests that had to make way for others, and wait again
  std::uint64_t evictions = 0;         ///< of them, those because the KV cache was full: see kv_overcommit
  std::uint64_t replays = 0;           ///< requests resumed after a fault
  std::uint64_t restarts = 0;          ///< generators and batchers restarted after a fault
  std::uint64_t reader_stalls = 0;     ///< streams ended because their readers stopped reading
  std::uint64_t step_stalls = 0;       ///< forward passes that were given up
  std::uint32_t stuck_batchers = 0;    ///< given up, and not returned from their forward pass yet
  std::uint64_t prompt_tokens = 0;
  std::uint64_t completion_tokens = 0;
  std::uint64_t prompt_tokens_asked = 0;   ///< of sequences that began, replays included
  std::uint64_t prompt_tokens_reused = 0;  ///< of them, not computed, because the prefix cache had them
  std::uint64_t draft_tokens = 0;          ///< guessed tokens that were computed
  std::uint64_t draft_tokens_accepted =
      0;                        ///< of them, those that were right: tokens that cost no step of their own
  std::uint64_t steps = 0;      ///< forward passes
  std::uint64_t step_rows = 0;  ///< rows in all of them; step_rows / steps is the mean batch
  double step_seconds = 0;      ///< time spent in them
  double step_gap_seconds = 0;  ///< time spent between them while requests ran: see step_gap
  std::uint64_t kv_pages_total = 0;
  std::uint64_t kv_pages_used = 0;
  std::uint64_t kv_pages_peak = 0;  ///< the largest kv_pages_used so far
};

/// What one of the engine's replicas does now.
struct ReplicaStats {
  std::uint32_t requests_running = 0;
  std::uint64_t kv_pages_used = 0;
};

/// How often a value fell between which bounds.
struct HistogramSnapshot {
  std::vector<double> bounds;         ///< ascending; bucket i holds values ≤ bounds[i] and > bounds[i - 1]
  std::vector<std::uint64_t> counts;  ///< one more than bounds: the last bucket has no upper bound
  double sum = 0;                     ///< of all values

  std::uint64_t count() const noexcept;
  double mean() const noexcept;  ///< 0 without values

  /// The value below which the share `q` of all values lies, 0 < q < 1, as Prometheus' histogram_quantile()
  /// has it: values are taken to be spread evenly within their bucket, and those beyond the last bound to be
  /// equal to it. An estimate, off by at most the bucket's width. 0 without values.
  double quantile(double q) const noexcept;
};

/// Everything that an engine counts. Times are in seconds, from submission where nothing else is said.
struct Metrics {
  using Counts = std::vector<std::pair<std::string, std::uint64_t>>;

  std::string model_name;
  EngineStats stats;
  std::vector<ReplicaStats> replicas;  ///< EngineOptions::replicas of them; stats has their sums
  /// Ended requests by "stop", "length", "cancelled", "deadline" (finish_reason_name()) and "error".
  Counts requests_by_outcome;
  /// Requests that were turned away before they were queued, by errc_name(); each code that encoding a prompt
  /// and admission can give.
  Counts refusals_by_code;

  HistogramSnapshot queue_time;           ///< until a generator took the request, of those that got one
  HistogramSnapshot time_to_first_token;  ///< of answers that have one
  /// Between a token and the next of the same answer, as they are generated. The time in which an answer
  /// waits for its reader is left out: it tells nothing about the engine.
  HistogramSnapshot inter_token_latency;
  HistogramSnapshot request_latency;            ///< until the end, of answers that ended by stop or length
  HistogramSnapshot request_prompt_tokens;      ///< of the same
  HistogramSnapshot request_generation_tokens;  ///< of the same
  HistogramSnapshot step_tokens;                ///< rows of a forward pass: its batch size
  HistogramSnapshot step_time;                  ///< of a forward pass
  /// From the end of a forward pass to the next: messages, sampling, waiting for generators. Times in which
  /// nothing runs, or all that runs waits for its readers, are left out.
  HistogramSnapshot step_gap;
};

/// One JSON object on one line: the counters by name, and each histogram as {"count", "sum", "mean", "p50",
/// "p95", "p99", "buckets": [{"le": bound or null, "count": values in this bucket}]}.
std::string to_json(const Metrics& metrics);

/// The text exposition format of Prometheus, version 0.0.4 (Content-Type "text/plain; version=0.0.4;
/// charset=utf-8"). Names begin with "troupe_"; the rest of the name, the unit and the buckets are those of
/// vLLM where it has the metric, so that its dashboards work after a change of prefix. In front of vLLM's
/// smallest buckets stand finer ones: small models are faster than that. Every series has the label
/// model_name.
std::string to_prometheus(const Metrics& metrics);

}  // namespace troupe
