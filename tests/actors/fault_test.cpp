// Generators and batchers that die, and steps that fail: no stream notices.

#include "actors/world.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using test::check_same_answers;
using test::pool_of;
using test::Record;
using test::undisturbed;
using test::World;

TEST_CASE("generators that die midway cost no token", "[actors]") {
  constexpr std::size_t count = 60;
  const auto want = undisturbed(count, 30);
  EngineOptions options = pool_of(8);
  options.restarts_max = 10'000;
  options.replays_max = 1000;
  World world(options);
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 30, i));
  for (int i = 0; i < 120; ++i) {
    world.run_steps(1 + static_cast<std::uint64_t>(i % 3));
    world.kill(world.generators[world.generators.size() - 1 -
                                static_cast<std::size_t>(i) % 4 % world.generators.size()]);
    world.pass(100ms);
  }
  world.settle();
  check_same_answers(world.records, want);
  CHECK(world.counters->replays > 20);
  CHECK(world.ledger->open.empty());
}

TEST_CASE("a replay does not change how much of the prompt was cached", "[actors]") {
  EngineOptions options = pool_of(1);
  options.replays_max = 1000;
  World world(options);
  world.ledger->known = 3;
  world.submit(World::request(8, 20, 1));
  world.submit(World::request(2, 0, 2));
  world.run_steps(5);
  world.ledger->known = 7;
  world.kill(world.generators.back());
  world.settle();
  CHECK(world.counters->replays == 1);
  CHECK(world.records.at(1).usage.cached_tokens == 3);
  CHECK(world.records.at(1).tokens.size() == 20);
  CHECK(world.records.at(2).usage.cached_tokens == 1);  // the last one is always computed
}

TEST_CASE("a paused stream survives its generator's death with its window", "[actors]") {
  World world(pool_of(2));
  Submission slow = World::request(4, 40, 1);
  slow.window_tokens = 8;
  const auto id = world.submit(std::move(slow)).request;
  world.settle();
  world.kill(world.generators[0]);
  world.settle();
  CHECK(world.records[1].tokens.size() == 8);
  for (int i = 0; i < 10; ++i) {
    world.consumed(id, 4);
    world.settle();
  }
  World alone;
  alone.submit(World::request(4, 40, 1));
  alone.settle();
  check_same_answers(world.records, alone.records);
}

TEST_CASE("a batcher that dies costs no token", "[actors]") {
  constexpr std::size_t count = 40;
  const auto want = undisturbed(count, 30);
  EngineOptions options = pool_of(8);
  options.replays_max = 100;
  World world(options);
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 30, i));
  for (std::size_t i = 0; i < 20; ++i) {
    world.run_steps(4);
    world.kill(world.batchers.back());
    for (int waits = 0; world.batchers.size() < i + 2 && waits < 100; ++waits) {
      world.pass(20ms);
      world.wake_router();
    }
  }
  world.settle();
  check_same_answers(world.records, want);
  CHECK(world.batchers.size() == 21);
}

TEST_CASE("steps that fail now and then are replayed and change nothing", "[actors]") {
  constexpr std::size_t count = 20;
  const auto want = undisturbed(count, 20);
  World world(pool_of(8));
  int failures = 0;
  world.ledger->fails = [&](const StepBatch&) {
    const bool fail = world.ledger->steps % 7 == 0 && world.ledger->step_sequences.back() > 1;
    failures += fail;
    return fail;
  };
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 20, i));
  world.settle();
  CHECK(failures >= 3);
  check_same_answers(world.records, want);
}

TEST_CASE("a request that breaks every step gets its error and harms nobody", "[actors]") {
  constexpr std::size_t count = 12;
  const auto want = undisturbed(count, 25);
  World world(pool_of(8));
  constexpr Token poison = 284;
  world.ledger->fails = [&](const StepBatch& batch) {
    for (const StepRow& row : batch.rows) {
      if (row.token == poison && row.position == 1) return true;
    }
    return false;
  };
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 25, i));
  auto work = std::make_shared<Work>();
  work->prompt = {5, poison};
  Submission poisoned;
  poisoned.work = work;
  world.submit(std::move(poisoned));
  world.settle();
  const Record bad = world.records.at(count + 1);
  world.records.erase(count + 1);
  check_same_answers(world.records, want);
  CHECK(bad.ends == 1);
  REQUIRE(bad.error);
  CHECK(bad.error->code == Errc::fault);
}

TEST_CASE("restarting is given up beyond the budget, and every request gets its error", "[actors]") {
  EngineOptions options = pool_of(2);
  options.restarts_max = 3;
  World world(options);
  for (std::uint64_t i = 0; i < 6; ++i) world.submit(World::request(3, 200, i));
  for (int i = 0; i < 4; ++i) {
    world.run_steps(2);
    world.kill(world.batchers.back());
    world.pass(50ms);
  }
  world.settle();
  for (const auto& [tag, record] : world.records) {
    CHECK(record.ends == 1);
    CHECK(record.error);
  }
  CHECK(world.records.size() == 6);
  CHECK(world.counters->requests_queued == 0);
  CHECK(world.submit(World::request(3, 2, 1)).refusal->code == Errc::fault);
}
