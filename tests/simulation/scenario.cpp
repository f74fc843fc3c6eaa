#include "simulation/scenario.hpp"

#include <algorithm>

#include "simulation/draws.hpp"
#include "simulation/toy_steps.hpp"

namespace troupe::test {
namespace {

using std::chrono::milliseconds;

enum class Flavour { calm, rowdy, crowded, contest, doomed };

Flavour draw_flavour(Draws& draws) {
  const double u = draws.uniform();
  if (u < 0.15) return Flavour::calm;
  if (u < 0.65) return Flavour::rowdy;
  if (u < 0.80) return Flavour::crowded;
  if (u < 0.93) return Flavour::contest;
  return Flavour::doomed;
}

SimTime ms_between(Draws& draws, std::uint64_t low, std::uint64_t high) {
  return SimTime(1000 * draws.between(low, high) + draws.between(0, 999));
}

void draw_limits(Scenario& scenario, Draws& draws) {
  EngineOptions& o = scenario.options;
  o.context_tokens = static_cast<std::uint32_t>(32 * draws.between(2, 6));
  o.pool_max = static_cast<std::uint32_t>(draws.between(1, 6));
  o.queue_requests_max = static_cast<std::uint32_t>(draws.between(1, 40));
  o.queue_tokens_max = draws.chance(0.5) ? 1'000'000 : draws.between(50, 2000);
  o.step_tokens_max = static_cast<std::uint32_t>(draws.between(2, 64));
  o.straggler_wait_us = static_cast<std::uint32_t>(draws.between(100, 3000));
  o.reader_stall_ms_max = draws.chance(0.5) ? static_cast<std::uint32_t>(draws.between(20, 200)) : 0;
  o.step_stall_ms_max = draws.chance(0.5) ? static_cast<std::uint32_t>(draws.between(50, 200)) : 0;
  o.prefix_cache = draws.chance(0.8);
  o.draft_tokens_max = draws.chance(0.8) ? static_cast<std::uint32_t>(draws.between(1, 12)) : 0;
  if (draws.chance(0.6)) scenario.habit = draws.between(1, 6);
  o.routing = static_cast<Routing>(draws.between(0, 2));
  o.pool_shape = static_cast<PoolShape>(draws.between(0, 2));
  o.replicas = draws.chance(0.5) ? 1 : static_cast<std::uint32_t>(draws.between(2, 3));
  o.restarts_max = 400;  // within a window: the simulation ends before
  o.restart_window_ms = 1000;
  o.replays_max = 1000;
  o.kv_overcommit = draws.chance(0.75);
  scenario.kv_pages_max = draws.between(o.context_tokens / 32, 24);
  scenario.step_time = SimTime(draws.between(50, 4000));
  scenario.row_time = SimTime(draws.between(0, 60));
}

/// Many that want more and more of little.
void draw_crowd(Scenario& scenario, Draws& draws) {
  EngineOptions& o = scenario.options;
  const std::uint64_t context_pages = draws.between(5, 12);
  o.context_tokens = static_cast<std::uint32_t>(32 * context_pages);
  o.pool_max = static_cast<std::uint32_t>(draws.between(3, 8));
  o.queue_requests_max = 40;
  o.queue_tokens_max = 1'000'000;
  o.replicas = draws.chance(0.7) ? 1 : 2;
  o.kv_overcommit = draws.chance(0.9);
  scenario.kv_pages_max = draws.between(context_pages, 2 * context_pages);
  scenario.step_time = SimTime(draws.between(50, 500));
  scenario.long_answers = true;
}

/// Texts of one family begin alike, so that the prefix cache has something to find.
std::shared_ptr<const Work> draw_work(Draws& draws, std::size_t prompt_tokens, std::uint32_t max_tokens,
                                      bool poisoned, double ignores_eos) {
  auto work = std::make_shared<Work>();
  const std::uint64_t family = draws.between(0, 2);
  for (std::uint64_t i = 0; i < prompt_tokens; ++i)
    work->prompt.push_back(static_cast<Token>(3 + (family * 97 + i * i + 3 * i) % 281));
  if (draws.chance(0.7)) work->prompt.back() = static_cast<Token>(draws.between(3, 283));
  if (poisoned) work->prompt[draws.between(0, prompt_tokens - 1)] = poison;
  work->options.max_tokens = max_tokens;
  work->options.sampling.seed = draws.between(0, 1000);
  if (draws.chance(0.5)) work->options.sampling.temperature = 0;
  if (draws.chance(0.2)) work->options.sampling.repeat_penalty = 1.3F;
  if (draws.chance(0.1)) work->options.sampling.frequency_penalty = 0.5F;
  if (draws.chance(0.2)) work->options.stop = {"e", "xy"};
  if (draws.chance(ignores_eos)) work->options.ignore_eos = true;
  return work;
}

PlannedRequest draw_request(const Scenario& scenario, Draws& draws) {
  const EngineOptions& o = scenario.options;
  PlannedRequest request;
  request.poisoned = draws.chance(0.04);
  const bool long_answer = scenario.long_answers && draws.chance(0.8);
  const std::size_t prompt_tokens = draws.chance(0.03)
                                        ? o.context_tokens + draws.between(0, 5)
                                        : draws.between(1, o.context_tokens * 2 / (long_answer ? 9 : 3));
  const std::uint64_t answer_min = long_answer ? o.context_tokens / 3 : 0;
  const std::uint64_t answer_max = long_answer ? o.context_tokens : 40;
  const auto max_tokens =
      static_cast<std::uint32_t>(draws.chance(0.05) ? 100'000 : draws.between(answer_min, answer_max));
  request.work = draw_work(draws, prompt_tokens, max_tokens, request.poisoned, long_answer ? 0.8 : 0.1);
  if (draws.chance(0.25)) request.patience = ms_between(draws, 0, 400);
  if (draws.chance(0.15)) request.cancelled_after = ms_between(draws, 0, 300);
  request.priority = static_cast<Priority>(draws.between(0, 2));
  request.client_key = std::string(1, static_cast<char>('a' + draws.between(0, 3)));
  if (draws.chance(0.6)) {
    request.window_tokens = static_cast<std::uint32_t>(draws.between(1, 12));
    if (draws.chance(0.5)) request.reader = ReaderHabit::slow;
    // Nothing else would end it.
    const bool ends = request.patience || o.reader_stall_ms_max != 0;
    if (ends && draws.chance(0.15)) request.reader = ReaderHabit::absent;
  }
  return request;
}

void draw_load(Scenario& scenario, Draws& draws) {
  const std::size_t count = draws.between(5, 40);
  SimTime arrival{0};
  const std::uint64_t gap_ms_max = draws.between(0, scenario.long_answers ? 5 : 30);
  for (std::size_t i = 0; i < count; ++i) {
    if (draws.chance(0.6)) arrival += ms_between(draws, 0, gap_ms_max);
    PlannedRequest request = draw_request(scenario, draws);
    request.arrival = arrival;
    scenario.requests.push_back(std::move(request));
  }
  if (draws.chance(0.3)) {
    const auto end = static_cast<std::uint64_t>(arrival.count()) / 1000;
    scenario.drain_at = ms_between(draws, 0, 2 * end + 100);
  }
  scenario.drain_ms = static_cast<std::uint32_t>(draws.between(0, 300));
}

/// Some keys that always have work, one of them greedy, and nothing that blurs who got how much.
void draw_contest(Scenario& scenario, Draws& draws) {
  EngineOptions& o = scenario.options;
  o.pool_max = static_cast<std::uint32_t>(draws.between(1, 2));
  o.queue_requests_max = 1000;
  o.queue_tokens_max = 1'000'000;
  const std::uint64_t keys = draws.between(2, 3);
  for (std::uint64_t key = 0; key < keys; ++key) {
    const std::uint64_t count = key == 0 ? 60 : 25;
    const std::uint64_t prompt_tokens = draws.between(1, 10);
    const auto max_tokens = static_cast<std::uint32_t>(draws.between(4, 20));
    for (std::uint64_t i = 0; i < count; ++i) {
      PlannedRequest request;
      request.arrival = SimTime(key);  // the greedy one comes first
      request.work = draw_work(draws, prompt_tokens, max_tokens, false, 0.1);
      request.client_key = std::string(1, static_cast<char>('a' + key));
      scenario.requests.push_back(std::move(request));
    }
  }
}

void draw_faults(Scenario& scenario, Draws& draws) {
  const auto sometimes = [&](double most) { return draws.chance(0.5) ? most * draws.uniform() : 0; };
  scenario.cancel = sometimes(0.01);
  scenario.kill_generator = sometimes(0.005);
  scenario.kill_batcher = sometimes(0.002);
  scenario.hold_generator = sometimes(0.01);
  scenario.step_fails = sometimes(0.1);
  scenario.step_hangs = sometimes(0.02);
  scenario.start_fails = sometimes(0.3);
}

}  // namespace

std::size_t Scenario::request_tokens_max() const {
  std::size_t most = 0;
  for (const PlannedRequest& r : requests) {
    const std::size_t tokens = r.work->prompt.size() + r.work->options.max_tokens;
    most = std::max(most, std::min<std::size_t>(tokens, options.context_tokens));
  }
  return most;
}

Scenario make_scenario(std::uint64_t seed) {
  Draws draws(seed, 1);
  Scenario scenario;
  const Flavour flavour = draw_flavour(draws);
  draw_limits(scenario, draws);
  if (flavour == Flavour::crowded) draw_crowd(scenario, draws);
  if (flavour == Flavour::contest) {
    draw_contest(scenario, draws);
  } else {
    draw_load(scenario, draws);
  }
  if (flavour == Flavour::rowdy || flavour == Flavour::doomed ||
      (flavour == Flavour::crowded && draws.chance(0.7)))
    draw_faults(scenario, draws);
  if (flavour == Flavour::doomed) {
    scenario.tight_budgets = true;
    scenario.options.restarts_max = static_cast<std::uint32_t>(draws.between(0, 6));
    scenario.options.replays_max = static_cast<std::uint32_t>(draws.between(0, 2));
    scenario.kill_batcher = 0.003;
    scenario.kill_generator = 0.003;
  }
  return scenario;
}

}  // namespace troupe::test
