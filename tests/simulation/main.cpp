// The simulator's command line.

#include <CLI/CLI.hpp>
#include <cinttypes>
#include <cstdio>
#include <string>

#include "base/log.hpp"
#include "simulation/simulation.hpp"
#include "simulation/verdict.hpp"
#include "support/toy_model.hpp"

using namespace troupe;

namespace {

struct SeedRange {
  std::uint64_t first = 1;
  std::uint64_t last = 1000;
};

/// "7" or "1..1000".
bool parse(const std::string& text, SeedRange& range) {
  const std::size_t dots = text.find("..");
  const std::string first = text.substr(0, dots);
  const std::string last = dots == std::string::npos ? first : text.substr(dots + 2);
  return CLI::detail::lexical_cast(first, range.first) && CLI::detail::lexical_cast(last, range.last) &&
         range.first <= range.last;
}

void print(const test::Tally& t) {
  std::printf("%" PRIu64 " requests: %" PRIu64 " finished, %" PRIu64 " cancelled, %" PRIu64 " late, %" PRIu64
              " refused, %" PRIu64 " with stalled readers, %" PRIu64 " poisoned, %" PRIu64
              " beyond the budget of faults\n",
              t.requests, t.finished, t.cancelled, t.late, t.refused, t.stalled, t.poisoned, t.faulted);
  std::printf("%" PRIu64 " tokens in %" PRIu64 " steps, of which %" PRIu64 " failed and %" PRIu64
              " hung, with %" PRIu64 " drafts, of which %" PRIu64 " were right; %" PRIu64
              " generators and %" PRIu64 " batchers killed; %" PRIu64 " evictions; shares compared %" PRIu64
              " times; trace %016" PRIx64 "\n",
              t.tokens, t.steps, t.steps_failed, t.steps_hung, t.drafts, t.drafts_accepted,
              t.generators_killed, t.batchers_killed, t.evictions, t.shares_compared, t.trace);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs router, generators and batcher through seeded mishaps and checks what they promise.");
  std::string seeds = "1..1000";
  bool trace = false;
  app.add_option("--seeds", seeds, "one seed, or FIRST..LAST")->envname("TROUPE_SEEDS");
  app.add_flag("--trace", trace, "say on stderr what happens");
  CLI11_PARSE(app, argc, argv);
  SeedRange range;
  if (!parse(seeds, range)) {
    std::fprintf(stderr, "--seeds wants a number or FIRST..LAST, not '%s'\n", seeds.c_str());
    return 2;
  }
  set_log_level(trace ? LogLevel::warning : LogLevel::off);  // the faults are on purpose
  const auto model = test::toy_model();
  test::Tally tally;
  for (std::uint64_t seed = range.first; seed <= range.last; ++seed) {
    test::begin_seed(argv[0], seed);
    const test::Tally one = test::simulate(seed, model, trace);
    // What a seed does must not depend on anything else, or no failure could be replayed.
    if (seed % 50 == 0 && test::simulate(seed, model, false).trace != one.trace)
      test::violation("the same seed did something else the second time");
    tally += one;
  }
  std::printf("seeds %" PRIu64 "..%" PRIu64 " hold\n", range.first, range.last);
  print(tally);
  return 0;
}
