#pragma once
// What `troupe bench` prints and draws. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/load.hpp"

namespace troupe::tools {

/// A sample at a glance. Percentiles are exact: of the sorted values, interpolated between neighbours. All 0
/// without values.
struct Spread {
  double min = 0, mean = 0, p50 = 0, p95 = 0, p99 = 0, max = 0;
};
Spread spread_of(std::vector<float> values);

/// One run of a bench: a closed loop with `concurrency` clients, or an open one with `rate_per_s`.
struct BenchRun {
  std::uint32_t concurrency = 0;
  std::optional<double> rate_per_s;
  std::vector<LoadKey> keys;
  LoadResult load;
};

/// "concurrency 4", "rate 12.5/s".
std::string bench_run_name(const BenchRun& run);

/// {"runs":[…]} on one line, with a newline; see `troupe bench --help`.
std::string bench_json(const std::vector<BenchRun>& runs);

/// A run as lines for people, with a newline at the end.
std::string bench_text(const BenchRun& run);

/// Throughput and latencies of the runs, against concurrency or rate, as an SVG image. Runs of both kinds are
/// drawn against the requests per second that they offered.
std::string bench_svg(const std::vector<BenchRun>& runs, const std::string& title);

}  // namespace troupe::tools
