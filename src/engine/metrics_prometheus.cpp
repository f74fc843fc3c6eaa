// The text exposition format of Prometheus: a HELP and a TYPE line in front of each metric's series, label
// values with \\, \" and \n escaped, histogram buckets cumulative and closed by le="+Inf".

#include <charconv>
#include <string_view>

#include "troupe/metrics.hpp"

namespace troupe {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '\\': out += "\\\\"; break;
      case '"': out += "\\\""; break;
      case '\n': out += "\\n"; break;
      default: out += c;
    }
  }
  return out;
}

/// The shortest text that reads back as the same number.
std::string number_text(double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  return {digits, end.ptr};
}

/// A bucket's bound as Prometheus normalizes them and as vLLM writes them: "1.0", not "1".
std::string bound_text(double bound) {
  char digits[400];
  const auto end = std::to_chars(digits, digits + sizeof digits, bound, std::chars_format::fixed);
  const std::string_view text(digits, static_cast<std::size_t>(end.ptr - digits));
  return std::string(text) + (text.find('.') == std::string_view::npos ? ".0" : "");
}

class Exposition {
 public:
  explicit Exposition(const std::string& model_name)
      : model_label_("model_name=\"" + escaped(model_name) + "\"") {}

  void counter(std::string_view name, std::string_view help, std::uint64_t value) {
    head(name, "counter", help);
    sample(name, {}, std::to_string(value));
  }
  void counters(std::string_view name, std::string_view help, std::string_view label,
                const Metrics::Counts& counts) {
    head(name, "counter", help);
    samples(name, label, counts);
  }
  void gauges(std::string_view name, std::string_view help, std::string_view label,
              const Metrics::Counts& counts) {
    head(name, "gauge", help);
    samples(name, label, counts);
  }
  void gauge(std::string_view name, std::string_view help, double value) {
    head(name, "gauge", help);
    sample(name, {}, number_text(value));
  }
  void histogram(std::string_view name, std::string_view help, const HistogramSnapshot& histogram) {
    head(name, "histogram", help);
    const std::string bucket = std::string(name) + "_bucket";
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
      below += histogram.counts[i];
      const std::string bound = i < histogram.bounds.size() ? bound_text(histogram.bounds[i]) : "+Inf";
      sample(bucket, "le=\"" + bound + "\"", std::to_string(below));
    }
    sample(std::string(name) + "_sum", {}, number_text(histogram.sum));
    sample(std::string(name) + "_count", {}, std::to_string(below));
  }

  std::string text() && { return std::move(text_); }

 private:
  void head(std::string_view name, std::string_view type, std::string_view help) {
    text_.append("# HELP troupe_").append(name).append(" ").append(help).append("\n");
    text_.append("# TYPE troupe_").append(name).append(" ").append(type).append("\n");
  }
  void samples(std::string_view name, std::string_view label, const Metrics::Counts& counts) {
    for (const auto& [value, count] : counts)
      sample(name, std::string(label) + "=\"" + escaped(value) + "\"", std::to_string(count));
  }
  void sample(std::string_view name, const std::string& label, const std::string& value) {
    text_.append("troupe_").append(name).append("{").append(model_label_);
    if (!label.empty()) text_.append(",").append(label);
    text_.append("} ").append(value).append("\n");
  }

  std::string model_label_;
  std::string text_;
};

double share(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::string to_prometheus(const Metrics& metrics) {
  const EngineStats& s = metrics.stats;
  Exposition out(metrics.model_name);
  out.gauge("num_requests_running", "Requests that hold a generator.", s.requests_running);
  out.gauge("num_requests_waiting", "Requests that wait for a generator.", s.requests_queued);
  out.gauge("generators", "Generators that are alive, idle ones included.", s.generators);
  out.gauge("kv_cache_usage_perc", "Share of the KV cache's pages in use; 1 is all of them.",
            share(s.kv_pages_used, s.kv_pages_total));
  out.gauge("kv_pages_used", "Pages of the KV cache in use.", static_cast<double>(s.kv_pages_used));
  out.gauge("kv_pages_total", "Pages of the KV cache.", static_cast<double>(s.kv_pages_total));
  Metrics::Counts running_by_replica, pages_by_replica;
  for (const ReplicaStats& r : metrics.replicas) {
    const std::string number = std::to_string(running_by_replica.size());
    running_by_replica.emplace_back(number, r.requests_running);
    pages_by_replica.emplace_back(number, r.kv_pages_used);
  }
  out.gauges("replica_requests_running", "Requests that run on each replica.", "replica", running_by_replica);
  out.gauges("replica_kv_pages_used", "Pages in use of each replica's KV cache.", "replica",
             pages_by_replica);
  out.counter("requests_admitted_total", "Requests that were queued.", s.requests_admitted);
  out.counters("request_success_total",
               "Ended requests by finish reason; error is the one that is no success.", "finished_reason",
               metrics.requests_by_outcome);
  out.counters("requests_refused_total", "Requests turned away at admission by error code.", "code",
               metrics.refusals_by_code);
  out.counter("prompt_tokens_total", "Tokens of the prompts of admitted requests.", s.prompt_tokens);
  out.counter("generation_tokens_total", "Generated tokens.", s.completion_tokens);
  out.counter("prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
              s.prompt_tokens_asked);
  out.counter("prefix_cache_hits_total", "Prompt tokens that the prefix cache had.", s.prompt_tokens_reused);
  out.counter("num_preemptions_total", "Times that a running request had to make way for others.",
              s.preemptions);
  out.counter("num_evictions_total", "Of the preemptions, those because the KV cache was full.", s.evictions);
  out.counter("spec_decode_num_draft_tokens_total", "Guessed tokens that were computed.", s.draft_tokens);
  out.counter("spec_decode_num_accepted_tokens_total", "Guessed tokens that were right.",
              s.draft_tokens_accepted);
  out.counter("replays_total", "Requests resumed after a fault.", s.replays);
  out.counter("restarts_total", "Generators and batchers restarted after a fault.", s.restarts);
  out.counter("reader_stalls_total", "Streams ended because their readers stopped reading.", s.reader_stalls);
  out.counter("step_stalls_total", "Forward passes that were given up.", s.step_stalls);
  out.gauge("stuck_batchers", "Batchers that were given up and have not returned yet.", s.stuck_batchers);
  out.histogram("request_queue_time_seconds", "Time from submission to a generator.", metrics.queue_time);
  out.histogram("time_to_first_token_seconds", "Time from submission to the first generated token.",
                metrics.time_to_first_token);
  out.histogram("inter_token_latency_seconds",
                "Time from a generated token to the next, without waiting for the reader.",
                metrics.inter_token_latency);
  out.histogram("e2e_request_latency_seconds", "Time from submission to the end of whole answers.",
                metrics.request_latency);
  out.histogram("request_prompt_tokens", "Prompt tokens of whole answers.", metrics.request_prompt_tokens);
  out.histogram("request_generation_tokens", "Generated tokens of whole answers.",
                metrics.request_generation_tokens);
  out.histogram("iteration_tokens_total", "Tokens in a forward pass.", metrics.step_tokens);
  out.histogram("step_time_seconds", "Time of a forward pass.", metrics.step_time);
  out.histogram("step_gap_seconds", "Time from a forward pass to the next while requests run.",
                metrics.step_gap);
  return std::move(out).text();
}

}  // namespace troupe
