// How generators are kept for requests, on a deterministic scheduler.

#include <malloc.h>

#include <algorithm>

#include "actors/world.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using troupe::test::World;

namespace {

EngineOptions shaped(PoolShape shape, std::uint32_t pool_max) {
  EngineOptions options = test::pool_of(pool_max);
  options.pool_shape = shape;
  options.restarts_max = 200;
  options.replays_max = 1000;
  return options;
}

constexpr std::size_t count = 40;

void submit_all(World& world) {
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 30, i));
}

/// Bytes that are allocated, but for what the world writes down; 0 where another allocator keeps them.
std::size_t bytes_in_use(World& world) {
  world.generators.clear();
  world.batchers.clear();
  world.records.clear();
  std::vector<std::size_t>().swap(world.ledger->step_sequences);
  return mallinfo2().uordblks;
}

}  // namespace

TEST_CASE("a growing pool spawns generators when they are needed, and reuses them", "[actors]") {
  World world(shaped(PoolShape::growing, 4));
  CHECK(world.counters->generators == 0);
  for (std::uint64_t i = 0; i < 3; ++i) {
    world.submit(World::request(4, 8, i));
    world.settle();
  }
  CHECK(world.generators.size() == 1);
  submit_all(world);
  world.settle();
  CHECK(world.generators.size() == 4);
  CHECK(world.counters->generators == 4);
}

TEST_CASE("a fixed pool is complete from the start, and again after a death without being asked",
          "[actors]") {
  World world(shaped(PoolShape::fixed, 4));
  CHECK(world.counters->generators == 4);
  submit_all(world);
  world.settle();
  CHECK(world.generators.size() == 4);
  world.kill(GeneratorActor(world.generators[1]));
  CHECK(world.counters->generators == 3);
  world.advance(50ms);
  CHECK(world.counters->generators == 4);
  CHECK(world.generators.size() == 5);
  CHECK(world.counters->restarts == 1);
  test::check_same_answers(world.records, test::undisturbed(count, 30));
}

TEST_CASE(
    "a pool per request has a fresh generator for each, never more than its maximum, and none when idle",
    "[actors]") {
  World world(shaped(PoolShape::per_request, 4));
  submit_all(world);
  std::uint32_t most = 0;
  while (world.run_once()) most = std::max(most, world.counters->generators.load());
  world.settle();
  CHECK(most == 4);
  CHECK(world.generators.size() == count);
  CHECK(world.counters->generators == 0);
  CHECK(world.counters->restarts == 0);  // an end in order is no death
  test::check_same_answers(world.records, test::undisturbed(count, 30));
  world.generators.clear();
  CHECK(world.actors_alive() == 3);  // router, batcher, recorder
}

TEST_CASE("a cancelled request's own generator ends with it", "[actors]") {
  World world(shaped(PoolShape::per_request, 2));
  const auto first = world.submit(World::request(4, 200, 1)).request;
  world.submit(World::request(4, 20, 2));
  world.run_steps(5);
  REQUIRE(world.counters->generators == 2);
  world.cancel(first);
  world.settle();
  CHECK(world.records[1].reason == FinishReason::cancelled);
  CHECK(world.records[2].tokens.size() == 20);
  CHECK(world.counters->generators == 0);
  CHECK(world.ledger->open.empty());
}

TEST_CASE("generators that die cost no token in any pool", "[actors]") {
  const auto want = test::undisturbed(count, 30);
  for (const PoolShape shape : {PoolShape::growing, PoolShape::fixed, PoolShape::per_request}) {
    World world(shaped(shape, 4));
    submit_all(world);
    for (std::size_t i = 0; i < 60; ++i) {
      world.run_steps(1 + i % 3);
      const std::size_t youngest = world.generators.size() - 1;
      world.kill(GeneratorActor(world.generators[youngest - std::min(youngest, i % 4)]));
      world.pass(100ms);
    }
    world.settle();
    test::check_same_answers(world.records, want);
    CHECK(world.counters->replays > 10);
    CHECK(world.counters->generators == (shape == PoolShape::per_request ? 0 : 4));
    CHECK(world.ledger->open.empty());
  }
}

TEST_CASE("generators and batchers that have ended leave no memory behind", "[actors]") {
  EngineOptions options = shaped(PoolShape::per_request, 4);
  options.restart_window_ms = 1;  // restarts without end
  World world(options);
  const auto serve = [&](std::uint64_t requests, bool with_deaths) {
    for (std::uint64_t i = 0; i < requests; ++i) {
      world.submit(World::request(3 + i % 40, 2, i));
      world.run_steps(1);
      if (with_deaths) world.kill(BatcherActor(world.batcher_of.front()));
      world.settle();
    }
    return bytes_in_use(world);
  };
  // Far less than one of them holds, each time.
  const std::size_t early = serve(500, false);
  CHECK(serve(5000, false) <= early + 5000 * 32);
  const std::size_t with_deaths = serve(100, true);
  CHECK(serve(1000, true) <= with_deaths + 1000 * 32);
}

TEST_CASE("however a router ends, its generators and batchers end with it", "[actors]") {
  for (const PoolShape shape : {PoolShape::growing, PoolShape::fixed, PoolShape::per_request}) {
    for (const bool in_order : {true, false}) {
      World world(shaped(shape, 4));
      submit_all(world);
      world.run_steps(5);
      REQUIRE(world.actors_alive() == 3 + 4);  // router, batcher, recorder
      if (in_order) {
        world.drain(0);
      } else {
        world.kill_router();
      }
      world.settle();
      CHECK(world.actors_alive() == 1);
      CHECK(world.counters->generators == 0);
    }
  }
}
