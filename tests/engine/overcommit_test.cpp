// A KV cache that is too small for what runs, on the real forward pass.

#include "support/check_has.hpp"
#include "support/toy_engine.hpp"

using namespace troupe;
using test::request;
using test::start;

namespace {

/// A cache of a few pages; requests of half of it each.
EngineOptions tight(std::uint64_t kv_bytes, bool overcommit) {
  EngineOptions options;
  options.context_tokens = 256;
  options.pool_max = 6;
  options.kv_bytes_max = kv_bytes;
  options.kv_overcommit = overcommit;
  return options;
}

}  // namespace

TEST_CASE("a KV cache that forces many evictions changes no token of any answer", "[engine]") {
  constexpr std::size_t count = 24;
  test::ToyShape shape;
  shape.type = TensorType::q8_0;
  const auto roomy = start(tight(0, true), shape);
  const std::uint64_t page_bytes = roomy->options().kv_bytes_max / roomy->stats().kv_pages_total;
  std::vector<std::vector<Token>> want;
  std::vector<GenerationRequest> requests;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string prompt = "Request " + std::to_string(i * i) + std::string(7 * i % 40, '.');
    requests.push_back(request(prompt, 150 - static_cast<std::uint32_t>(i) % 7, i));
    if (i % 2 == 0) requests.back().options.sampling.temperature = 0;
    const auto alone = roomy->generate(requests.back()).get();
    REQUIRE(alone);
    want.push_back(alone->tokens);
  }
  for (const bool overcommit : {true, false}) {
    for (const bool prefix_cache : {true, false}) {
      INFO("over-commitment " << overcommit << ", prefix cache " << prefix_cache);
      EngineOptions options = tight(10 * page_bytes, overcommit);
      options.prefix_cache = prefix_cache;
      const auto engine = start(options, shape);
      std::vector<std::future<Result<Generation>>> answers;
      for (const GenerationRequest& r : requests) answers.push_back(engine->generate(r));
      for (std::size_t i = 0; i < count; ++i) {
        const auto answer = answers[i].get();
        REQUIRE(answer);
        CHECK(answer->tokens == want[i]);
      }
      const EngineStats stats = engine->stats();
      CHECK(stats.kv_pages_peak <= 10);
      CHECK((stats.evictions >= 3) == overcommit);
      CHECK(stats.preemptions >= stats.evictions);
      CHECK(stats.replays == 0);
      const std::string evictions = std::to_string(stats.evictions);
      CHECK_HAS(to_json(engine->metrics()), "\"evictions\":" + evictions);
      CHECK_HAS(to_prometheus(engine->metrics()), "troupe_num_evictions_total{model_name=");
      test::wait_until_idle(*engine);
    }
  }
}
