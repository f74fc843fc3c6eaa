#pragma once
// An engine on the toy model, and requests for it.

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "support/catch.hpp"
#include "support/toy_model.hpp"
#include "troupe/engine.hpp"

namespace troupe::test {

inline std::unique_ptr<Engine> start(const EngineOptions& options = {}, const ToyShape& shape = {}) {
  auto engine = Engine::start(toy_model(shape), options);
  REQUIRE(engine);
  return *std::move(engine);
}

/// With room for one request at a time.
inline EngineOptions one_place() {
  EngineOptions options;
  options.pool_max = 1;
  return options;
}

/// Its answer has exactly `max_tokens`.
inline GenerationRequest request(const std::string& prompt, std::uint32_t max_tokens,
                                 std::uint64_t seed = 0) {
  GenerationRequest r;
  r.prompt = prompt;
  r.options.max_tokens = max_tokens;
  r.options.ignore_eos = true;
  r.options.sampling.seed = seed;
  return r;
}

/// Tokens that take seconds: who asks for so many can be caught running, however busy the machine is.
inline constexpr std::uint32_t very_many = 50'000;
/// With a context that has room for them.
inline EngineOptions long_context(EngineOptions options = {}) {
  options.context_tokens = 1U << 16;
  return options;
}

/// Until the engine holds no KV pages and runs nothing.
inline void wait_until_idle(const Engine& engine) {
  for (int i = 0; i < 5000; ++i) {
    const EngineStats stats = engine.stats();
    if (stats.kv_pages_used == 0 && stats.requests_running == 0 && stats.requests_queued == 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  FAIL("the engine is still busy");
}

}  // namespace troupe::test
