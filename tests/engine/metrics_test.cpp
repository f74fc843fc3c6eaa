// Metrics: what the engine counts, and the texts made of it.

#include "troupe/metrics.hpp"

#include <boost/json.hpp>
#include <map>
#include <sstream>

#include "engine/reader_credit.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "support/toy_model.hpp"
#include "troupe/engine.hpp"

using namespace troupe;

namespace {

HistogramSnapshot histogram(std::vector<double> bounds, std::vector<std::uint64_t> counts, double sum = 0) {
  HistogramSnapshot h;
  h.bounds = std::move(bounds);
  h.counts = std::move(counts);
  h.sum = sum;
  return h;
}

GenerationRequest request(std::uint32_t prompt_tokens, std::uint32_t max_tokens) {
  GenerationRequest r;
  r.prompt = std::vector<Token>(prompt_tokens, 70);
  r.options.max_tokens = max_tokens;
  r.options.ignore_eos = true;
  return r;
}

/// The samples of an exposition by series, after checking what the format asks of each line: HELP and TYPE
/// once in front of a metric's series, series of one metric together, none twice.
std::map<std::string, double> parse_exposition(const std::string& text) {
  std::map<std::string, double> samples;
  std::map<std::string, std::string> types;
  std::istringstream lines(text);
  std::string current;
  for (std::string line; std::getline(lines, line);) {
    INFO(line);
    if (line.rfind("# HELP ", 0) == 0) {
      current = line.substr(7, line.find(' ', 7) - 7);
      REQUIRE(types.count(current) == 0);
      types[current];
    } else if (line.rfind("# TYPE ", 0) == 0) {
      const std::size_t end = line.find(' ', 7);
      REQUIRE(line.substr(7, end - 7) == current);
      types[current] = line.substr(end + 1);
    } else {
      const std::size_t space = line.rfind(' ');
      const std::string name = line.substr(0, line.find('{'));
      REQUIRE(name.rfind(current, 0) == 0);
      const std::string suffix = name.substr(current.size());
      if (types.at(current) == "histogram") {
        REQUIRE((suffix == "_bucket" || suffix == "_sum" || suffix == "_count"));
      } else {
        REQUIRE(suffix.empty());
      }
      REQUIRE(samples.emplace(line.substr(0, space), std::stod(line.substr(space + 1))).second);
    }
  }
  REQUIRE(text.back() == '\n');
  return samples;
}

}  // namespace

TEST_CASE("a reader reports in halves of its window, and sooner when it is slow", "[engine]") {
  const auto begin = ReaderCredit::Clock::now();
  ReaderCredit credit(8, 8000);
  CHECK(credit.take(begin) == 0);
  CHECK(credit.take(begin) == 0);
  CHECK(credit.take(begin) == 0);
  CHECK(credit.take(begin) == 4);
  CHECK(credit.take(begin + std::chrono::milliseconds(500)) == 0);
  CHECK(credit.take(begin + std::chrono::milliseconds(1100)) == 2);
  ReaderCredit patient(8, 0);
  for (int i = 0; i < 3; ++i) CHECK(patient.take(begin + std::chrono::hours(i)) == 0);
  CHECK(patient.take(begin) == 4);
  CHECK(ReaderCredit(1, 0).take(begin) == 1);
}

TEST_CASE("percentiles are interpolated within their bucket and end at the last bound", "[metrics]") {
  const auto h = histogram({1, 2, 4}, {10, 0, 10, 0}, 40);
  CHECK(h.count() == 20);
  CHECK(h.mean() == Approx(2));
  CHECK(h.quantile(0.25) == Approx(0.5));
  CHECK(h.quantile(0.5) == Approx(1));
  CHECK(h.quantile(0.75) == Approx(3));
  CHECK(histogram({1, 2}, {0, 0, 5}).quantile(0.5) == Approx(2));
  CHECK(histogram({1, 2}, {0, 0, 0}).quantile(0.5) == 0);
  CHECK(HistogramSnapshot().quantile(0.5) == 0);
  CHECK(HistogramSnapshot().mean() == 0);
}

TEST_CASE("the exposition has cumulative buckets, a sum and a count, and escapes labels", "[metrics]") {
  Metrics metrics;
  metrics.model_name = "a\"b\\c\nd";
  metrics.stats.kv_pages_total = 8;
  metrics.stats.kv_pages_used = 2;
  metrics.replicas = {{1, 0}, {2, 2}};
  metrics.requests_by_outcome = {{"stop", 3}, {"length", 4}};
  metrics.step_tokens = histogram({1, 2.5}, {5, 6, 7}, 123.5);
  const std::string text = to_prometheus(metrics);
  const auto samples = parse_exposition(text);
  const std::string label = R"(model_name="a\"b\\c\nd")";
  CHECK(samples.at("troupe_iteration_tokens_total_bucket{" + label + R"(,le="1.0"})") == 5);
  CHECK(samples.at("troupe_iteration_tokens_total_bucket{" + label + R"(,le="2.5"})") == 11);
  CHECK(samples.at("troupe_iteration_tokens_total_bucket{" + label + R"(,le="+Inf"})") == 18);
  CHECK(samples.at("troupe_iteration_tokens_total_sum{" + label + "}") == 123.5);
  CHECK(samples.at("troupe_iteration_tokens_total_count{" + label + "}") == 18);
  CHECK(samples.at("troupe_kv_cache_usage_perc{" + label + "}") == 0.25);
  CHECK(samples.at("troupe_replica_requests_running{" + label + R"(,replica="0"})") == 1);
  CHECK(samples.at("troupe_replica_kv_pages_used{" + label + R"(,replica="1"})") == 2);
  CHECK(samples.at("troupe_request_success_total{" + label + R"(,finished_reason="length"})") == 4);
  CHECK_HAS(text, "# TYPE troupe_iteration_tokens_total histogram\n");
  CHECK_HAS(text, "# TYPE troupe_request_success_total counter\n");
  CHECK_HAS(text, "# TYPE troupe_num_requests_running gauge\n");
}

TEST_CASE("an engine's metrics add up to what was asked of it", "[metrics]") {
  EngineOptions options;
  options.pool_max = 2;
  options.queue_requests_max = 1;
  const auto engine = Engine::start(test::toy_model(), options);
  REQUIRE(engine);
  for (int i = 0; i < 3; ++i) REQUIRE((*engine)->generate(request(5, 4)).get());
  CHECK_FALSE((*engine)->generate(request(0, 4)).get());
  CHECK_FALSE((*engine)->generate(request(5000, 4)).get());
  {
    auto stream = (*engine)->open_stream(request(3, 400));
    REQUIRE(stream);
    REQUIRE(stream->next());
    stream->cancel();
    REQUIRE(stream->result()->finish_reason == FinishReason::cancelled);
  }
  (*engine)->stop();
  const Metrics m = (*engine)->metrics();
  const auto count = [](const Metrics::Counts& counts, const std::string& name) {
    for (const auto& [key, value] : counts) {
      if (key == name) return value;
    }
    FAIL(name);
    return std::uint64_t{0};
  };
  CHECK(count(m.requests_by_outcome, "length") == 3);
  CHECK(count(m.requests_by_outcome, "cancelled") == 1);
  CHECK(count(m.requests_by_outcome, "error") == 0);
  CHECK(count(m.refusals_by_code, "bad_argument") == 1);
  CHECK(count(m.refusals_by_code, "context_exceeded") == 1);
  CHECK(m.stats.requests_refused == 2);
  CHECK(m.queue_time.count() == 4);
  CHECK(m.time_to_first_token.count() == 4);
  CHECK(m.inter_token_latency.count() == m.stats.completion_tokens - 4);
  CHECK(m.request_latency.count() == 3);
  CHECK(m.request_prompt_tokens.sum == 15);
  CHECK(m.request_generation_tokens.sum == 12);
  CHECK(m.step_tokens.count() == m.stats.steps);
  CHECK(m.step_time.count() == m.stats.steps);
  CHECK(m.step_tokens.sum >= 18);
  CHECK(m.stats.kv_pages_used == 0);
  CHECK(m.stats.generators == 0);
  CHECK(m.stats.kv_pages_total > 0);

  const auto samples = parse_exposition(to_prometheus(m));
  const std::string label = "{model_name=\"" + m.model_name + "\"";
  CHECK(samples.at("troupe_request_success_total" + label + ",finished_reason=\"length\"}") == 3);
  CHECK(samples.at("troupe_requests_refused_total" + label + ",code=\"context_exceeded\"}") == 1);
  CHECK(samples.at("troupe_time_to_first_token_seconds_count" + label + "}") == 4);
  CHECK(samples.at("troupe_spec_decode_num_draft_tokens_total" + label + "}") == m.stats.draft_tokens);
  CHECK(samples.at("troupe_spec_decode_num_accepted_tokens_total" + label + "}") ==
        m.stats.draft_tokens_accepted);
  // Bounds that dashboards made for vLLM ask for.
  for (const char* bound : {"0.001", "1.0", "2560.0", "+Inf"})
    CHECK(samples.count("troupe_time_to_first_token_seconds_bucket" + label + ",le=\"" + bound + "\"}") == 1);
  for (const char* bound : {"0.01", "0.3", "80.0"})
    CHECK(samples.count("troupe_inter_token_latency_seconds_bucket" + label + ",le=\"" + bound + "\"}") == 1);

  const auto parsed = boost::json::parse(to_json(m)).as_object();
  CHECK(parsed.at("requests").at("by_outcome").at("length").to_number<int>() == 3);
  CHECK(parsed.at("time_to_first_token_seconds").at("count").to_number<int>() == 4);
  CHECK(parsed.at("time_to_first_token_seconds").at("buckets").as_array().size() ==
        m.time_to_first_token.counts.size());
  CHECK(parsed.at("time_to_first_token_seconds").at("p99").to_number<double>() > 0);
}
