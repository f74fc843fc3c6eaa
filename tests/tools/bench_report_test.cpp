// What `troupe bench` makes of its measurements.

#include "tools/bench_report.hpp"

#include <boost/json.hpp>
#include <set>

#include "tests/support/catch.hpp"
#include "tests/support/check_has.hpp"

using namespace troupe;
using namespace troupe::tools;

namespace {

BenchRun run_of(std::uint32_t concurrency, std::optional<double> rate = {}) {
  BenchRun run{concurrency, rate, {{"a", 3}, {"b\"", 1}}, {}};
  run.load.duration_s = 2;
  run.load.offered = 12;
  run.load.completed = run.load.completed_in_time = 10;
  run.load.failed = 1;
  run.load.refused = 1;
  run.load.tokens_in_time = 400;
  run.load.key_tokens_in_time = {300, 100};
  run.load.queue_ms = {1, 2};
  run.load.ttft_ms = {3};
  run.load.inter_token_ms = {4, 5, 6};
  run.load.e2e_ms = {7};
  run.load.steps = 100;
  run.load.step_s = 1.9;
  run.load.between_steps_s = 0.1;
  run.load.evictions = 7;
  return run;
}

}  // namespace

TEST_CASE("percentiles are exact, between neighbours of the sorted values", "[tools]") {
  const Spread s = spread_of({5, 1, 4, 2, 3});
  CHECK(s.min == 1);
  CHECK(s.mean == 3);
  CHECK(s.p50 == 3);
  CHECK(s.p95 == Approx(4.8));
  CHECK(s.p99 == Approx(4.96));
  CHECK(s.max == 5);
  CHECK(spread_of({7}).p99 == 7);
  CHECK(spread_of({}).max == 0);
}

TEST_CASE("bench's JSON has the fields that scripts rely on", "[tools]") {
  const auto json = boost::json::parse(bench_json({run_of(4), run_of(0, 12.5)}));
  const auto& runs = json.at("runs").as_array();
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].at("concurrency").to_number<int>() == 4);
  CHECK(runs[0].at("rate_per_s").is_null());
  CHECK(runs[1].at("concurrency").is_null());
  CHECK(runs[1].at("rate_per_s").to_number<double>() == 12.5);
  CHECK(runs[0].at("requests").to_number<int>() == 12);
  CHECK(runs[0].at("completed").to_number<int>() == 10);
  CHECK(runs[0].at("failed").to_number<int>() == 1);
  CHECK(runs[0].at("duration_s").to_number<double>() == 2);
  CHECK(runs[0].at("requests_per_s").to_number<double>() == 5);
  CHECK(runs[0].at("tokens_per_s").to_number<double>() == 200);
  for (const char* name : {"queue_ms", "ttft_ms", "inter_token_ms", "e2e_ms"}) {
    for (const char* field : {"min", "mean", "p50", "p95", "p99", "max"})
      CHECK(runs[0].at(name).at(field).to_number<double>() >= 1);
  }
  CHECK(runs[0].at("steps").at("count").to_number<int>() == 100);
  CHECK(runs[0].at("steps").at("mean_ms").to_number<double>() == 19);
  CHECK(runs[0].at("steps").at("between_ms").to_number<double>() == 1);
  CHECK(runs[0].at("evictions").to_number<int>() == 7);
  CHECK(runs[0].at("keys").at(1).at("key").as_string() == "b\"");
  CHECK(runs[0].at("keys").at(0).at("share").to_number<double>() == 0.75);
}

TEST_CASE("a run without any answer is told without dividing by zero", "[tools]") {
  const BenchRun nothing{3, {}, {{"", 3}}, {}};
  BenchRun run = nothing;
  run.load.key_tokens_in_time = {0};
  const std::string text = bench_text(run) + bench_json({run}) + bench_svg({run}, "t") + bench_svg({}, "t");
  CHECK_HAS(text, "0 of 0 requests");
  CHECK(text.find("nan") == std::string::npos);
  CHECK(text.find("inf") == std::string::npos);
}

TEST_CASE("bench's table names what was refused and failed, and each key's share", "[tools]") {
  const std::string text = bench_text(run_of(4));
  CHECK_HAS(text, "concurrency 4: 10 of 12 requests, 1 failed, 1 refusals in 2.000 s");
  CHECK_HAS(text, "steps: 100 of 19.000 ms on average and 1.000 ms between two, 5.0 % of the time");
  CHECK_HAS(text, "requests made way 7 times");
  CHECK_HAS(text, "key a, 3 clients: 300 tokens, 75.0 %");
  CHECK_HAS(bench_text(run_of(0, 12.5)), "rate 12.5/s: ");
  const std::string svg = bench_svg({run_of(4), run_of(8)}, "a < b");
  CHECK_HAS(svg, "a &lt; b");
  CHECK_HAS(svg, "concurrent requests");
  CHECK_HAS(bench_svg({run_of(4), run_of(0, 9)}, ""), "requests offered per second");
}

TEST_CASE("no two requests of a load have the same prompt", "[tools]") {
  LoadShape shape;
  shape.vocab = 512;
  shape.prompt_tokens = 8;
  shape.max_tokens = 3;
  std::set<std::vector<Token>> prompts;
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const GenerationRequest request = load_request(shape, i);
    const auto& tokens = std::get<std::vector<Token>>(request.prompt);
    REQUIRE(tokens.size() == 8);
    for (const Token token : tokens) REQUIRE((token >= 0 && token < 512));
    prompts.insert(tokens);
    CHECK(request.options.max_tokens == 3);
    CHECK(request.options.ignore_eos);
  }
  CHECK(prompts.size() == 1000);
}
