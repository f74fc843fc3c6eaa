#include "troupe/metrics.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <numeric>

namespace troupe {
namespace {

namespace json = boost::json;

json::object json_counts(const Metrics::Counts& counts) {
  json::object out;
  for (const auto& [name, count] : counts) out[name] = count;
  return out;
}

json::array json_replicas(const std::vector<ReplicaStats>& replicas) {
  json::array out;
  for (const ReplicaStats& r : replicas)
    out.push_back({{"requests_running", r.requests_running}, {"kv_pages_used", r.kv_pages_used}});
  return out;
}

json::object json_histogram(const HistogramSnapshot& histogram) {
  json::array buckets;
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    json::object bucket;
    if (i < histogram.bounds.size()) {
      bucket["le"] = histogram.bounds[i];
    } else {
      bucket["le"] = nullptr;
    }
    bucket["count"] = histogram.counts[i];
    buckets.push_back(std::move(bucket));
  }
  return {{"count", histogram.count()},      {"sum", histogram.sum},
          {"mean", histogram.mean()},        {"p50", histogram.quantile(0.50)},
          {"p95", histogram.quantile(0.95)}, {"p99", histogram.quantile(0.99)},
          {"buckets", std::move(buckets)}};
}

}  // namespace

std::uint64_t HistogramSnapshot::count() const noexcept {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

double HistogramSnapshot::mean() const noexcept {
  const std::uint64_t values = count();
  return values == 0 ? 0 : sum / static_cast<double>(values);
}

double HistogramSnapshot::quantile(double q) const noexcept {
  const double rank = std::clamp(q, 0.0, 1.0) * static_cast<double>(count());
  double below = 0;  // values in the buckets before
  for (std::size_t i = 0; i < bounds.size() && i < counts.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && below + here >= rank) {
      const double low = i == 0 ? 0 : bounds[i - 1];
      return low + (bounds[i] - low) * (rank - below) / here;
    }
    below += here;
  }
  return count() == 0 || bounds.empty() ? 0 : bounds.back();
}

std::string to_json(const Metrics& metrics) {
  const EngineStats& s = metrics.stats;
  return json::serialize(json::object{
      {"model_name", metrics.model_name},
      {"requests",
       {{"admitted", s.requests_admitted},
        {"queued", s.requests_queued},
        {"running", s.requests_running},
        {"by_outcome", json_counts(metrics.requests_by_outcome)},
        {"refused", json_counts(metrics.refusals_by_code)}}},
      {"tokens", {{"prompt", s.prompt_tokens}, {"generation", s.completion_tokens}}},
      {"prefix_cache", {{"queries", s.prompt_tokens_asked}, {"hits", s.prompt_tokens_reused}}},
      {"spec_decode", {{"draft_tokens", s.draft_tokens}, {"accepted_tokens", s.draft_tokens_accepted}}},
      {"kv_pages", {{"total", s.kv_pages_total}, {"used", s.kv_pages_used}, {"peak", s.kv_pages_peak}}},
      {"replicas", json_replicas(metrics.replicas)},
      {"generators", s.generators},
      {"preemptions", s.preemptions},
      {"evictions", s.evictions},
      {"replays", s.replays},
      {"restarts", s.restarts},
      {"reader_stalls", s.reader_stalls},
      {"step_stalls", s.step_stalls},
      {"stuck_batchers", s.stuck_batchers},
      {"queue_time_seconds", json_histogram(metrics.queue_time)},
      {"time_to_first_token_seconds", json_histogram(metrics.time_to_first_token)},
      {"inter_token_latency_seconds", json_histogram(metrics.inter_token_latency)},
      {"e2e_request_latency_seconds", json_histogram(metrics.request_latency)},
      {"request_prompt_tokens", json_histogram(metrics.request_prompt_tokens)},
      {"request_generation_tokens", json_histogram(metrics.request_generation_tokens)},
      {"step_tokens", json_histogram(metrics.step_tokens)},
      {"step_time_seconds", json_histogram(metrics.step_time)},
      {"step_gap_seconds", json_histogram(metrics.step_gap)},
  });
}

}  // namespace troupe
