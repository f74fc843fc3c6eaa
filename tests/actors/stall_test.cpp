// What takes too long: deadlines in each phase, readers that stop reading, steps that do not end.

#include <condition_variable>
#include <mutex>

#include "actors/step_lease.hpp"
#include "actors/world.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using test::check_same_answers;
using test::pool_of;
using test::Record;
using test::undisturbed;
using test::World;

namespace {

/// Lets time pass as it does for actors that run meanwhile.
void let_pass(World& world, std::chrono::milliseconds time) {
  for (std::chrono::milliseconds passed{0}; passed < time; passed += 5ms) world.advance(5ms);
}

}  // namespace

TEST_CASE("a deadline that passes during prefill ends the request before the next step", "[actors]") {
  EngineOptions options = pool_of(2);
  options.step_tokens_max = 4;
  World world(options);
  Submission late = World::request(200, 50, 1);
  late.deadline = world.now() + 1s;
  world.submit(std::move(late));
  world.run_steps(5);
  REQUIRE(world.records[1].ends == 0);
  const auto steps = world.ledger->steps;
  world.pass(1s);
  world.wake_router();
  world.run();
  CHECK(world.records[1].reason == FinishReason::deadline);
  CHECK(world.records[1].tokens.empty());
  CHECK(world.ledger->steps <= steps + 1);
  CHECK(world.ledger->open.empty());
}

TEST_CASE("a deadline that passes during decode ends the request with what it has, and no other",
          "[actors]") {
  World world(pool_of(2));
  Submission late = World::request(4, 400, 1);
  late.deadline = world.now() + 1s;
  world.submit(std::move(late));
  world.submit(World::request(4, 60, 2));
  world.run_steps(20);
  const auto before = world.records[1].tokens.size();
  REQUIRE(before >= 10);
  REQUIRE(world.records[1].ends == 0);
  world.pass(1s);
  world.wake_router();
  world.run_steps(2);
  CHECK(world.records[1].reason == FinishReason::deadline);
  CHECK(world.records[1].tokens.size() <= before + 2);
  world.settle();
  World alone;
  alone.submit(World::request(4, 60, 2));
  alone.settle();
  CHECK(world.records[2].tokens == alone.records[1].tokens);
}

TEST_CASE("a deadline that passes while a step runs is kept though the step goes on", "[actors]") {
  World world(pool_of(2));
  Submission late = World::request(4, 400, 1);
  late.deadline = world.now() + 100ms;
  world.submit(std::move(late));
  world.ledger->during = [&](const StepBatch&) {
    if (world.ledger->steps != 5) return;
    let_pass(world, 150ms);
    CHECK(world.records[1].reason == FinishReason::deadline);
  };
  world.settle();
  CHECK(world.ledger->steps == 5);
  CHECK(world.ledger->open.empty());
}

TEST_CASE("a reader that stops reading is ended with an error, and its place is free", "[actors]") {
  EngineOptions options = pool_of(1);
  options.reader_stall_ms_max = 800;
  World world(options);
  Submission slow = World::request(4, 60, 1);
  slow.window_tokens = 8;
  const RequestId id = world.submit(std::move(slow)).request;
  world.submit(World::request(4, 20, 2));
  world.run();
  let_pass(world, 500ms);
  world.consumed(id, 1);  // slow, but there
  let_pass(world, 850ms);
  CHECK(world.records[1].ends == 0);
  CHECK(world.records[1].tokens.size() == 9);
  CHECK(world.records[2].tokens.empty());
  let_pass(world, 100ms);
  CHECK(world.records[1].ends == 1);
  REQUIRE(world.records[1].error);
  CHECK(world.records[1].error->code == Errc::reader_stalled);
  CHECK(world.records[1].error->message.find("800 ms") != std::string::npos);
  world.settle();
  CHECK(world.records[2].tokens.size() == 20);
  CHECK(world.counters->stats().reader_stalls == 1);
  CHECK(world.ledger->open.empty());
}

TEST_CASE("a reader that keeps up is never taken for stalled, however long the answer takes", "[actors]") {
  EngineOptions options = pool_of(1);
  options.reader_stall_ms_max = 80;
  World world(options);
  Submission steady = World::request(4, 100, 1);
  steady.window_tokens = 4;
  const RequestId id = world.submit(std::move(steady)).request;
  for (int i = 0; i < 60; ++i) {
    let_pass(world, 60ms);
    world.consumed(id, 2);
  }
  world.settle();
  CHECK(world.records[1].ends == 1);
  CHECK_FALSE(world.records[1].error);
}

TEST_CASE("a step is overdue only after time in which somebody looked", "[actors]") {
  StepWatch watch(1s);
  const TimePoint begin{1h};
  CHECK_FALSE(watch.overdue(1, begin));
  CHECK_FALSE(watch.overdue(1, begin + 10s));  // whoever looked had stopped too
  TimePoint now = begin + 10s;
  while (!watch.overdue(1, now)) now += 20ms;
  CHECK(now - begin <= 11s);
  CHECK(now - begin >= 10s + 800ms);
  CHECK_FALSE(watch.overdue(2, now + 20ms));
  CHECK_FALSE(watch.overdue(0, now + 40ms));
  StepWatch never(0ms);
  for (int i = 0; i < 100; ++i) CHECK_FALSE(never.overdue(1, begin + i * 50ms));
}

TEST_CASE("a lease can be given up during the step that it is about, and not afterwards", "[actors]") {
  StepLease lease;
  CHECK(lease.running() == 0);
  lease.begin({7, 8});
  const auto first = lease.running();
  CHECK(lease.end());
  lease.begin({9});
  CHECK_FALSE(lease.give_up(first));
  CHECK(lease.give_up(lease.running()) == std::vector<SequenceId>{9});
  CHECK(lease.given_up());
  CHECK_FALSE(lease.end());
}

TEST_CASE("a step that does not end is given up, and its requests go on elsewhere as if nothing had been",
          "[actors]") {
  constexpr std::size_t count = 12;
  const auto want = undisturbed(count, 30);
  EngineOptions options = pool_of(4);
  options.step_stall_ms_max = 500;
  World world(options);
  bool stuck = false;
  world.ledger->during = [&](const StepBatch&) {
    if (world.ledger->steps != 20) return;
    stuck = true;
    let_pass(world, 2s);
    CHECK(world.counters->stuck_batchers == 1);
    stuck = false;
  };
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 30, i));
  world.settle();
  CHECK_FALSE(stuck);
  check_same_answers(world.records, want);
  CHECK(world.batchers.size() == 2);
  CHECK(world.counters->stats().step_stalls == 1);
  CHECK(world.counters->stuck_batchers == 0);  // it came back, and ended
  CHECK(world.counters->kv_pages_used == 0);
}

TEST_CASE("a new batcher's first step is given its own time, whatever the one before had used up",
          "[actors]") {
  EngineOptions options = pool_of(1);
  options.step_stall_ms_max = 500;
  World world(options);
  world.ledger->during = [&](const StepBatch&) {
    if (world.ledger->steps == 1) let_pass(world, 2s);
    if (world.ledger->steps == 2) let_pass(world, 300ms);
  };
  world.submit(World::request(4, 20, 1));
  world.settle();
  CHECK(world.records[1].ends == 1);
  CHECK_FALSE(world.records[1].error);
  CHECK(world.batchers.size() == 2);
  CHECK(world.counters->stats().step_stalls == 1);
}

TEST_CASE("a request that hangs every step it is in gets its error and harms nobody", "[actors]") {
  constexpr std::size_t count = 6;
  constexpr Token poison = 284;
  const auto want = undisturbed(count, 25);
  EngineOptions options = pool_of(8);
  options.step_stall_ms_max = 200;
  World world(options);
  std::vector<std::size_t> hung;  // sequences of each step that did
  world.ledger->during = [&](const StepBatch& batch) {
    for (const StepRow& row : batch.rows) {
      if (row.token != poison || row.position != 1) continue;
      hung.push_back(world.ledger->step_sequences.back());
      return let_pass(world, 1s);
    }
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
  REQUIRE(bad.error);
  CHECK(bad.error->code == Errc::fault);
  CHECK(bad.error->message.find("200 ms") != std::string::npos);
  CHECK(hung == std::vector<std::size_t>{count + 1, 1});
}

TEST_CASE("when steps hang whatever is in them, the engine says so and stops trying", "[actors]") {
  EngineOptions options = pool_of(4);
  options.step_stall_ms_max = 100;
  options.replays_max = 1000;
  World world(options);
  int depth = 0;
  world.ledger->during = [&](const StepBatch&) {
    if (++depth < 20) let_pass(world, 400ms);
  };
  for (std::uint64_t i = 0; i < 8; ++i) world.submit(World::request(3, 20, i));
  world.settle();
  CHECK(depth < 8);
  for (std::uint64_t tag = 1; tag <= 8; ++tag) {
    CHECK(world.records[tag].ends == 1);
    CHECK(world.records[tag].error);
  }
  CHECK(world.submit(World::request(3, 2, 1)).refusal->code == Errc::fault);
}
