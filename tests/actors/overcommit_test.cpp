// Requests that together need more KV memory than there is: who runs, who makes way, and that nobody can tell
// from the answers.

#include "actors/world.hpp"
#include "base/random.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using test::check_same_answers;
using test::pool_of;
using test::roomy;
using test::undisturbed;
using test::World;

namespace {

/// Holds the answers against those to the same requests where there is room for all and nobody waits.
void check_like_with_room_and_readers(const World& world, std::vector<Submission> requests) {
  World roomy_world(pool_of(static_cast<std::uint32_t>(requests.size())));
  for (Submission& request : requests) roomy_world.submit(std::move(request));
  roomy_world.settle();
  check_same_answers(world.records, roomy_world.records);
}

}  // namespace

TEST_CASE("more requests run than could all get as long as they may", "[actors]") {
  EngineOptions options = pool_of(8);
  World world(options, 16);  // 512 positions
  for (std::uint64_t i = 0; i < 8; ++i) REQUIRE_FALSE(world.submit(World::request(4, 400, i)).refusal);
  world.run_steps(10);
  CHECK(world.counters->requests_running >= 5);
  options.kv_overcommit = false;
  World careful(options, 16);
  for (std::uint64_t i = 0; i < 8; ++i) careful.submit(World::request(4, 400, i));
  careful.run_steps(10);
  CHECK(careful.counters->requests_running == 1);
  careful.settle();
  CHECK(careful.counters->evictions == 0);
}

TEST_CASE("a cache that is too small for what runs costs evictions, no token and no fault", "[actors]") {
  constexpr std::size_t count = 60;
  const auto want = undisturbed(count, 220);
  for (const std::size_t pages : {9, 14, 21}) {
    INFO(pages << " pages");
    EngineOptions options = roomy(pool_of(8));
    options.replays_max = 0;
    World world(options, pages);
    for (std::uint64_t i = 0; i < count; ++i)
      REQUIRE_FALSE(world.submit(World::request(3 + i % 40, 220, i)).refusal);
    world.settle();
    check_same_answers(world.records, want);
    CHECK(world.counters->evictions > 10);
    CHECK(world.counters->evictions < 4 * count);
    CHECK(world.counters->replays == 0);
    CHECK(world.ledger->open.empty());
  }
}

TEST_CASE("the oldest request runs from its start to its end however full the cache is", "[actors]") {
  World world(pool_of(4), 10);
  for (std::uint64_t i = 0; i < 4; ++i) world.submit(World::request(20, 280, i + 40));
  std::size_t before = 0;
  while (world.records[1].ends == 0) {
    REQUIRE(world.run_once());
    CHECK(world.records[1].tokens.size() >= before);
    before = world.records[1].tokens.size();
    // A step for it, its prompt's and the last included, and none in between without it.
    CHECK(world.ledger->steps <= before + 4);
  }
  world.settle();
  CHECK(world.counters->evictions > 0);
}

TEST_CASE("2 000 random cancels under over-commitment free their pages within one step", "[actors]") {
  constexpr std::size_t count = 2'800;
  EngineOptions options = roomy(pool_of(8));
  World world(options, 14);
  std::map<StreamTag, RequestId> ids;
  for (std::uint64_t i = 0; i < count; ++i) {
    Submission submission = World::request(3 + i % 40, 300, i);
    submission.client_key = i % 3 == 0 ? "a" : "b";
    ids[i + 1] = world.submit(std::move(submission)).request;
  }
  std::uint64_t draws = 0;
  std::size_t cancels = 0;
  std::size_t running_cancelled = 0;
  std::size_t late = 0;
  StreamTag next = 1;
  while (cancels < 2'000) {
    world.run_steps(1);
    // Those that run are among the first that have not ended; some that wait, too.
    while (world.records[next].ends != 0) ++next;
    const auto tag = next + static_cast<StreamTag>(uniform_at(9, draws++) * 24);
    if (tag > count || world.records[tag].ends != 0) continue;
    ++cancels;
    running_cancelled += !world.records[tag].tokens.empty();
    const auto steps = world.ledger->steps;
    world.cancel(ids[tag]);
    while (world.records[tag].ends == 0) REQUIRE(world.run_once());
    while (world.ledger->open.size() > world.counters->requests_running) REQUIRE(world.run_once());
    late += world.ledger->steps > steps + 1;
  }
  CHECK(late == 0);
  CHECK(running_cancelled > 200);
  world.settle();
  std::size_t wrong = 0;
  for (const auto& [tag, record] : world.records) wrong += record.ends != 1 || !record.reason;
  CHECK(wrong == 0);
  CHECK(world.counters->evictions > 100);
  CHECK(world.ledger->open.empty());
  CHECK(world.counters->kv_pages_used == 0);
}

TEST_CASE("a batcher and generators that die while the cache is full cost no token", "[actors]") {
  constexpr std::size_t count = 40;
  const auto want = undisturbed(count, 220);
  EngineOptions options = roomy(pool_of(8));
  options.replays_max = 1000;
  options.restarts_max = 10'000;
  World world(options, 14);
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 220, i));
  for (int i = 0; i < 60; ++i) {
    world.run_steps(5);
    if (i % 3 == 0)
      world.kill(world.batchers.back());
    else
      world.kill(world.generators[world.generators.size() - 1 - static_cast<std::size_t>(i) % 3]);
    world.pass(100ms);
  }
  world.settle();
  check_same_answers(world.records, want);
  CHECK(world.counters->evictions > 5);
}

TEST_CASE("a stream that waits for its reader makes way for those that grow, and goes on with its window",
          "[actors]") {
  World world(pool_of(3), 12);
  Submission slow = World::request(20, 280, 1);
  slow.window_tokens = 70;
  const RequestId id = world.submit(std::move(slow)).request;
  world.run();
  REQUIRE(world.records[1].tokens.size() == 70);
  world.submit(World::request(20, 280, 2));
  world.settle();
  CHECK(world.records[2].ends == 1);
  CHECK(world.counters->evictions == 1);
  while (world.records[1].ends == 0) {
    world.consumed(id, 35);
    world.settle();
  }
  CHECK(world.counters->evictions == 1);
  check_like_with_room_and_readers(world, {World::request(20, 280, 1), World::request(20, 280, 2)});
}

TEST_CASE("an answer that has begun does not stand still for the reader of another", "[actors]") {
  World world(pool_of(2), 10);
  Submission slow = World::request(20, 280, 1);
  slow.window_tokens = 200;
  const RequestId id = world.submit(std::move(slow)).request;
  world.submit(World::request(20, 280, 2));
  world.run();  // the younger is evicted, and the older stops at its window
  CHECK(world.counters->evictions == 1);
  CHECK(world.records[1].tokens.size() == 200);
  CHECK(world.records[2].ends == 1);
  for (int i = 0; i < 5; ++i) {
    world.consumed(id, 60);
    world.settle();
  }
  check_like_with_room_and_readers(world, {World::request(20, 280, 1), World::request(20, 280, 2)});
}

TEST_CASE("a stream that made way and whose reader is away keeps nobody from a place", "[actors]") {
  World world(pool_of(3), 20);
  Submission slow = World::request(20, 330, 1);
  slow.window_tokens = 290;
  const RequestId id = world.submit(std::move(slow)).request;
  world.run();
  REQUIRE(world.records[1].tokens.size() == 290);
  world.submit(World::request(20, 450, 2));
  while (world.counters->evictions == 0) REQUIRE(world.run_once());
  world.submit(World::request(4, 16, 3));  // for which there is room, but not for it and the evicted one
  CHECK(world.counters->requests_queued == 1);
  while (world.records[3].ends == 0) REQUIRE(world.run_once());
  CHECK(world.records[2].ends == 0);
  CHECK(world.counters->evictions == 1);
  world.settle();
  while (world.records[1].ends == 0) {
    world.consumed(id, 30);
    world.settle();
  }
  check_like_with_room_and_readers(
      world, {World::request(20, 330, 1), World::request(20, 450, 2), World::request(4, 16, 3)});
}

TEST_CASE("guesses take no page that others need, and change no token of a cache that is full", "[actors]") {
  constexpr std::size_t count = 30;
  std::map<StreamTag, test::Record> want;
  for (const std::size_t pages : {1000, 9, 14}) {
    INFO(pages << " pages");
    EngineOptions options = roomy(pool_of(8));
    options.draft_tokens_max = 40;  // more than the router knows of
    options.replays_max = 0;
    World world(options, pages);
    world.ledger->habit = 5;
    for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 220, i));
    world.settle();
    CHECK(world.counters->draft_tokens_accepted > 100);
    if (want.empty()) want = world.records;
    check_same_answers(world.records, want);
    CHECK((world.counters->evictions > 5) == (pages < 1000));
    CHECK(world.ledger->open.empty());
  }
}

TEST_CASE("each of several replicas evicts for its own sake", "[actors]") {
  constexpr std::size_t count = 40;
  const auto want = undisturbed(count, 220);
  EngineOptions options = roomy(pool_of(8));
  options.replicas = 2;
  options.replays_max = 0;
  World world(options, 10);
  for (std::uint64_t i = 0; i < count; ++i) world.submit(World::request(3 + i % 40, 220, i));
  world.settle();
  check_same_answers(world.records, want);
  CHECK(world.counters->evictions > 5);
  for (const auto& ledger : world.ledgers) CHECK(ledger->open.empty());
}
