// Several batchers behind one router, on a deterministic scheduler.

#include <algorithm>

#include "actors/world.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using troupe::test::World;

namespace {

EngineOptions with_replicas(std::uint32_t replicas, std::uint32_t pool_max = 8) {
  EngineOptions options = test::pool_of(pool_max);
  options.replicas = replicas;
  options.replays_max = 100;
  return options;
}

constexpr std::size_t count = 40;

void submit_all(World& world) {
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 30, i));
}

/// Lets time pass as it does for actors that run meanwhile.
void let_pass(World& world, std::chrono::milliseconds time) {
  for (std::chrono::milliseconds passed{0}; passed < time; passed += 5ms) world.advance(5ms);
}

std::uint64_t all_steps(const World& world) {
  std::uint64_t steps = 0;
  for (const auto& ledger : world.ledgers) steps += ledger->steps;
  return steps;
}

}  // namespace

TEST_CASE("answers are the same from one batcher and from several, which all take part", "[actors]") {
  const auto want = test::undisturbed(count, 30);
  for (const std::uint32_t replicas : {2U, 3U, 7U}) {
    World world(with_replicas(replicas));
    submit_all(world);
    world.settle();
    test::check_same_answers(world.records, want);
    for (const auto& ledger : world.ledgers) {
      CHECK(ledger->steps > 20);
      CHECK(ledger->open.empty());
    }
    CHECK(world.counters->kv_pages_used == 0);
    CHECK(world.counters->kv_pages_peak > 0);
  }
}

TEST_CASE("requests that come at once are spread over the batchers", "[actors]") {
  World world(with_replicas(3, 6));
  for (std::uint64_t i = 0; i < 6; ++i) world.submit(World::request(20, 30, i));
  world.run_steps(2);
  for (const auto& ledger : world.ledgers) CHECK(ledger->open.size() == 2);
}

TEST_CASE("answers are the same whatever the routing, and each policy gives work where it says", "[actors]") {
  const auto want = test::undisturbed(count, 30);
  for (const Routing routing : {Routing::round_robin, Routing::prefix_affinity}) {
    EngineOptions options = with_replicas(2);
    options.routing = routing;
    World world(options);
    submit_all(world);
    world.settle();
    test::check_same_answers(world.records, want);
    for (const auto& ledger : world.ledgers) CHECK(ledger->steps > 20);
    // One at a time now: both in turn, or always where the beginning was.
    const std::uint64_t before[] = {world.ledgers[0]->steps, world.ledgers[1]->steps};
    for (int i = 0; i < 6; ++i) {
      world.submit(World::request(100, 10, 1000));
      world.settle();
    }
    const auto first = world.ledgers[0]->steps - before[0];
    CHECK(first > 0);
    CHECK(world.ledgers[1]->steps - before[1] == (routing == Routing::round_robin ? first : 0));
  }
}

TEST_CASE("what a batcher that dies had running goes on at once on the others, which notice nothing",
          "[actors]") {
  const auto want = test::undisturbed(count, 30);
  EngineOptions options = with_replicas(2);
  options.restart_backoff_ms = 60'000;  // nobody waits for its restart
  options.restart_window_ms = 3'600'000;
  World world(options);
  submit_all(world);
  world.run_steps(10);
  const auto steppers = world.ledgers[1]->steppers;
  world.kill(world.batcher_of[0]);
  world.run();  // no time passes
  test::check_same_answers(world.records, want);
  CHECK(world.ledgers[0]->steppers == 1);
  CHECK(world.ledgers[1]->steppers == steppers);
  CHECK(world.counters->replays == 4);  // half of the pool
  CHECK(world.counters->kv_pages_used == 0);
  let_pass(world, 61s);
  CHECK(world.ledgers[0]->steppers == 2);
}

TEST_CASE("when all batchers die, requests wait for the first that is back", "[actors]") {
  const auto want = test::undisturbed(count, 30);
  World world(with_replicas(3));
  submit_all(world);
  for (int i = 0; i < 5; ++i) {
    world.run_steps(4);
    for (std::size_t r = 0; r < 3; ++r) world.kill(BatcherActor(world.batcher_of[r]));
    for (const auto& batcher : world.batcher_of) CHECK(batcher);
    const auto steps = all_steps(world);
    world.run();
    CHECK(all_steps(world) == steps);  // nobody is there
    world.pass(2s);
  }
  world.settle();
  test::check_same_answers(world.records, want);
  CHECK(world.batchers.size() == 18);
  CHECK(world.counters->kv_pages_used == 0);
}

TEST_CASE("a step that does not end takes only its own batcher's requests along", "[actors]") {
  const auto want = test::undisturbed(count, 30);
  EngineOptions options = with_replicas(2);
  options.step_stall_ms_max = 500;
  World world(options);
  std::uint64_t meanwhile = 0;
  world.ledger->during = [&](const StepBatch&) {
    if (world.ledger->steps != 8) return;
    const auto before = world.ledgers[1]->steps;
    let_pass(world, 2s);
    meanwhile = world.ledgers[1]->steps - before;
    CHECK(world.counters->stuck_batchers == 1);
  };
  submit_all(world);
  world.settle();
  test::check_same_answers(world.records, want);
  CHECK(meanwhile > 100);  // the other one answered everything
  CHECK(world.ledgers[1]->steppers == 1);
  CHECK(world.counters->replays < 8);
  CHECK(world.counters->step_stalls == 1);
  CHECK(world.counters->stuck_batchers == 0);
  CHECK(world.counters->kv_pages_used == 0);
}

TEST_CASE("the pages of each batcher's cache are promised apart", "[actors]") {
  World world(with_replicas(2), 4);  // 128 positions each
  const auto never = world.submit(World::request(100, 60, 1));
  REQUIRE(never.refusal);
  CHECK(never.refusal->code == Errc::too_large);
  for (std::uint64_t i = 0; i < 6; ++i) REQUIRE_FALSE(world.submit(World::request(60, 30, i)).refusal);
  world.run_steps(6);
  CHECK(world.ledgers[0]->open.size() == 1);  // 3 pages
  CHECK(world.ledgers[1]->open.size() == 1);
  CHECK(world.counters->requests_running == 2);
  world.settle();
  CHECK(world.counters->stats().requests_finished == 6);
}

TEST_CASE("deaths of all batchers are counted against one budget", "[actors]") {
  EngineOptions options = with_replicas(2);
  options.restarts_max = 3;
  World world(options);
  for (std::uint64_t i = 0; i < 6; ++i) world.submit(World::request(3, 200, i));
  world.run_steps(2);
  for (std::size_t i = 0; i < 40; ++i) {
    world.kill(BatcherActor(world.batcher_of[i % 2]));
    for (int messages = 0; messages < 10; ++messages) world.run_once();
    world.pass(50ms);
    world.wake_router();
  }
  CHECK(world.counters->restarts == 3);
  world.settle();
  CHECK(std::all_of(world.records.begin(), world.records.end(),
                    [](const auto& r) { return r.second.ends == 1 && r.second.error; }));
  CHECK(world.records.size() == 6);
  CHECK(world.submit(World::request(3, 2, 1)).refusal->code == Errc::fault);
  CHECK(world.counters->kv_pages_used == 0);
}
