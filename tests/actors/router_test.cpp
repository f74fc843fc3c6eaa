// The router's admission, queue and streams on a deterministic scheduler; fault_test.cpp has what goes wrong.

#include <set>

#include "actors/world.hpp"
#include "base/random.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using test::pool_of;
using test::Record;
using test::roomy;
using test::undisturbed;
using test::World;

TEST_CASE("10 000 requests each end exactly once and leave no sequence and no actor behind", "[actors]") {
  World world(roomy(pool_of(16)));
  for (std::uint64_t i = 0; i < 10'000; ++i)
    REQUIRE_FALSE(world.submit(World::request(1 + i % 50, i % 9, i)).refusal);
  world.settle();
  REQUIRE(world.records.size() == 10'000);
  std::size_t wrong = 0;
  for (const auto& [tag, record] : world.records) wrong += record.ends != 1 || !record.reason;
  CHECK(wrong == 0);
  CHECK(world.ledger->open.empty());
  CHECK(world.counters->kv_pages_used == 0);
  CHECK(world.counters->kv_pages_peak > 0);
  CHECK(world.counters->stats().requests_finished == 10'000);
  CHECK(world.generators.size() == 16);
  REQUIRE(world.drain(0));
  world.settle();
  CHECK(world.actors_alive() == 1);  // the recorder
}

TEST_CASE("requests that run together share steps", "[actors]") {
  World world(pool_of(8));
  for (std::uint64_t i = 0; i < 8; ++i) world.submit(World::request(4, 50, i));
  world.run_steps(20);
  CHECK(world.ledger->step_sequences.back() == 8);
}

TEST_CASE("time in which nothing runs is not counted as time between two steps", "[actors]") {
  World world;
  for (int i = 0; i < 2; ++i) {
    REQUIRE_FALSE(world.submit(World::request(4, 20, 1)).refusal);
    world.settle();
    world.pass(10s);
  }
  REQUIRE_FALSE(world.submit(World::request(4, 20, 1)).refusal);
  world.settle();
  const EngineStats stats = world.counters->stats();
  CHECK(world.counters->step_gap.count() == stats.steps - 3);
  CHECK(stats.step_gap_seconds < 1);
}

TEST_CASE("a long prompt is cut into chunks behind the decodes of running streams", "[actors]") {
  EngineOptions options = pool_of(4);
  options.step_tokens_max = 16;
  World world(options);
  world.submit(World::request(2, 300, 1));
  world.run_steps(5);
  const auto before = world.records[1].tokens.size();
  world.submit(World::request(160, 5, 2));
  world.run_steps(10);
  CHECK(world.ledger->rows_max == 16);
  CHECK(world.records[1].tokens.size() >= before + 9);
  CHECK(world.records[2].tokens.empty());
  world.settle();
  CHECK(world.records[2].tokens.size() == 5);
}

TEST_CASE("the queue's bound is refused with a time to retry, and nothing that was admitted is dropped",
          "[actors]") {
  EngineOptions options = pool_of(1);
  options.queue_requests_max = 3;
  World world(options);
  std::size_t refused = 0;
  for (std::uint64_t i = 0; i < 10; ++i) {
    const auto admission = world.submit(World::request(2, 5, i));
    if (!admission.refusal) continue;
    ++refused;
    CHECK(admission.refusal->code == Errc::queue_full);
    CHECK(admission.refusal->retry_after_ms >= 50);
  }
  CHECK(refused == 6);  // one runs, three wait
  world.settle();
  std::size_t ended = 0;
  for (const auto& [tag, record] : world.records) ended += record.reason.has_value();
  CHECK(ended == 4);
}

TEST_CASE("requests wait for KV pages and are refused only when they can never fit", "[actors]") {
  World world(pool_of(8), 4);  // 128 positions
  const auto never = world.submit(World::request(100, 100, 1));
  REQUIRE(never.refusal);
  CHECK(never.refusal->code == Errc::too_large);
  for (std::uint64_t i = 0; i < 6; ++i) REQUIRE_FALSE(world.submit(World::request(60, 4, i)).refusal);
  world.run_steps(2);
  CHECK(world.ledger->open.size() == 2);
  world.settle();
  CHECK(world.counters->stats().requests_finished == 6);
}

TEST_CASE("a request that waits for KV pages does not keep the router busy", "[actors]") {
  World world(pool_of(2), 4);
  Submission slow = World::request(90, 30, 1);
  slow.window_tokens = 4;  // pauses there, with all the pages
  world.submit(std::move(slow));
  world.submit(World::request(60, 4, 2));
  world.run();
  world.advance(50ms);
  CHECK(world.records[1].tokens.size() == 4);
  CHECK(world.records[2].tokens.empty());
  world.pass(0ms);  // what is due now and at once again
  CHECK_FALSE(world.run_once());
}

TEST_CASE("a prompt that does not fit the context is refused with both counts", "[actors]") {
  World world;
  const auto refusal = world.submit(World::request(512, 4, 1)).refusal;
  REQUIRE(refusal);
  CHECK(refusal->code == Errc::context_exceeded);
  CHECK(refusal->message.find("512 tokens, but the context of 512") != std::string::npos);
  CHECK_FALSE(world.submit(World::request(511, 4, 1)).refusal);
  world.settle();
  CHECK(world.records.begin()->second.reason == FinishReason::length);
  CHECK(world.records.begin()->second.tokens.size() == 1);
}

TEST_CASE("max_tokens of 0 evaluates the prompt and ends", "[actors]") {
  World world;
  world.submit(World::request(10, 0, 1));
  world.settle();
  CHECK(world.records[1].reason == FinishReason::length);
  CHECK(world.records[1].tokens.empty());
  CHECK(world.ledger->steps == 1);
}

TEST_CASE("a request can be cancelled in the queue, in prefill and in decode", "[actors]") {
  EngineOptions options = pool_of(1);
  options.step_tokens_max = 4;
  World world(options);
  const auto running = world.submit(World::request(40, 100, 1)).request;
  const auto queued = world.submit(World::request(4, 5, 2)).request;
  const auto last = world.submit(World::request(4, 5, 3)).request;
  world.run_steps(2);
  world.cancel(queued);
  world.cancel(running);
  world.run_steps(3);
  world.run_steps(3);
  CHECK(world.records[1].reason == FinishReason::cancelled);
  CHECK(world.records[1].tokens.empty());
  CHECK(world.records[2].reason == FinishReason::cancelled);
  world.cancel(last);
  world.run();
  CHECK(world.records[3].reason.has_value());
  CHECK(world.ledger->open.empty());
}

TEST_CASE("text that is held back comes before the end, also of an answer that is interrupted", "[actors]") {
  const auto interrupted = [](const std::vector<std::string>& stops, bool late) {
    World world(pool_of(1));
    Submission submission = World::request(4, 100, 5);
    auto work = std::make_shared<Work>(*submission.work);
    work->options.stop = stops;
    submission.work = std::move(work);
    if (late) submission.deadline = world.now() + 1s;
    const RequestId id = world.submit(std::move(submission)).request;
    world.run_steps(20);
    if (late)
      world.advance(1s);
    else
      world.cancel(id);
    world.settle();
    return world.records[1];
  };
  for (const bool late : {false, true}) {
    const Record shown = interrupted({}, late);
    REQUIRE(shown.text.size() > 10);
    const Record held = interrupted({shown.text + "\x01"}, late);
    CHECK(held.reason == (late ? FinishReason::deadline : FinishReason::cancelled));
    CHECK(held.tokens == shown.tokens);
    CHECK(held.text == shown.text);
  }
}

TEST_CASE("1 000 random cancels free their pages within one step and disturb nobody", "[actors]") {
  constexpr std::size_t count = 1500;
  World world(roomy(pool_of(8)));
  const auto want = undisturbed(count, 12);
  std::map<StreamTag, RequestId> ids;
  for (std::uint64_t i = 0; i < count; ++i)
    ids[i + 1] = world.submit(World::request(3 + i % 40, 12, i)).request;
  std::uint64_t draws = 0;
  std::set<StreamTag> cancelled;
  while (cancelled.size() < 1000) {
    world.run_steps(1 + static_cast<std::uint64_t>(3 * uniform_at(7, draws++)));
    const auto tag = static_cast<StreamTag>(1 + uniform_at(9, draws++) * count);
    cancelled.insert(tag);
    if (world.records[tag].ends != 0) continue;
    const auto steps = world.ledger->steps;
    world.cancel(ids[tag]);
    while (world.records[tag].ends == 0) REQUIRE(world.run_once());
    // Its sequence is closed before a further step can begin.
    while (world.ledger->open.size() > world.counters->requests_running) REQUIRE(world.run_once());
    CHECK(world.ledger->steps <= steps + 1);
  }
  world.settle();
  for (const auto& [tag, record] : want) {
    const Record& got = world.records[tag];
    REQUIRE(got.ends == 1);
    if (got.reason == FinishReason::cancelled) {
      CHECK(cancelled.count(tag) == 1);
      CHECK(std::equal(got.tokens.begin(), got.tokens.end(), record.tokens.begin()));
    } else {
      CHECK(got.tokens == record.tokens);
    }
  }
  CHECK(world.ledger->open.empty());
}

TEST_CASE("a deadline ends a request in the queue and while it runs, with what it has", "[actors]") {
  World world(pool_of(1));
  Submission slow = World::request(4, 400, 1);
  slow.window_tokens = 10;  // pauses there, so that time can pass
  slow.deadline = world.now() + 1s;
  Submission queued = World::request(4, 5, 2);
  queued.deadline = world.now() + 500ms;
  world.submit(std::move(slow));
  world.submit(std::move(queued));
  world.advance(400ms);
  CHECK(world.records[1].ends + world.records[2].ends == 0);
  for (int i = 0; i < 8; ++i) world.advance(25ms);
  CHECK(world.records[2].reason == FinishReason::deadline);
  CHECK(world.records[1].ends == 0);
  for (int i = 0; i < 24; ++i) world.advance(25ms);
  CHECK(world.records[1].reason == FinishReason::deadline);
  CHECK(world.records[1].tokens.size() == 10);
  CHECK(world.ledger->open.empty());
  Submission late = World::request(4, 5, 3);
  late.deadline = world.now();
  CHECK(world.submit(std::move(late)).refusal->code == Errc::deadline);
}

TEST_CASE("a slow reader pauses its generator and no other", "[actors]") {
  World world(pool_of(4));
  Submission slow = World::request(4, 60, 1);
  slow.window_tokens = 8;
  const auto id = world.submit(std::move(slow)).request;
  world.submit(World::request(4, 60, 2));
  world.settle();
  CHECK(world.records[1].tokens.size() == 8);
  CHECK(world.records[2].ends == 1);
  world.consumed(id, 5);
  world.settle();
  CHECK(world.records[1].tokens.size() == 13);
  for (int i = 0; i < 20; ++i) {
    world.consumed(id, 5);
    world.settle();
  }
  CHECK(world.records[1].ends == 1);
  const auto want = undisturbed(1, 60);
  World alone;
  alone.submit(World::request(4, 60, 1));
  alone.settle();
  CHECK(world.records[1].tokens == alone.records[1].tokens);
}

TEST_CASE("a request that asks for no limit costs the queue no more than the context", "[actors]") {
  EngineOptions options = pool_of(1);
  options.queue_tokens_max = 2000;
  World world(options);
  for (int i = 0; i < 4; ++i) CHECK_FALSE(world.submit(World::request(2, 4'000'000'000U)).refusal);
  const auto refused = world.submit(World::request(2, 4'000'000'000U)).refusal;
  REQUIRE(refused);
  CHECK(refused->code == Errc::queue_full);
}

TEST_CASE("draining lets what runs finish, cancels the rest in time, and refuses newcomers", "[actors]") {
  World world(pool_of(2));
  world.submit(World::request(3, 10, 1));
  Submission stuck = World::request(3, 100, 2);
  stuck.window_tokens = 4;
  world.submit(std::move(stuck));
  REQUIRE(world.drain(200));
  CHECK(world.records[1].reason != FinishReason::cancelled);
  CHECK(world.records[1].ends == 1);
  CHECK(world.records[2].reason == FinishReason::cancelled);
  CHECK(world.records[2].tokens.size() == 4);
  world.settle();
  CHECK(world.actors_alive() == 1);
}

TEST_CASE("invalid requests are refused before admission, by name", "[actors]") {
  World world;
  const auto refusal = [&](auto change) {
    auto work = std::make_shared<Work>();
    work->prompt = {1, 2, 3};
    change(*work);
    Submission submission;
    submission.work = work;
    const auto admission = world.submit(std::move(submission));
    return admission.refusal ? admission.refusal->message : std::string();
  };
  CHECK(refusal([](Work& w) { w.prompt.clear(); }).find("prompt has no tokens") != std::string::npos);
  CHECK(refusal([](Work& w) { w.prompt.push_back(999); }).find("999") != std::string::npos);
  CHECK(refusal([](Work& w) { w.options.stop = {""}; }).find("stop text") != std::string::npos);
  CHECK(refusal([](Work& w) { w.options.stop = {"\xff"}; }).find("UTF-8") != std::string::npos);
  CHECK(refusal([](Work& w) { w.options.stop.assign(17, "x"); }).find("17") != std::string::npos);
  CHECK(refusal([](Work& w) { w.options.stop_tokens = {-4}; }).find("-4") != std::string::npos);
  CHECK(refusal([](Work& w) { w.options.sampling.top_p = 2; }).find("top_p") != std::string::npos);
  CHECK(refusal([](Work& w) { w.options.stop_tokens.assign(5000, 1); }).find("5000") != std::string::npos);
  Submission odd = World::request(3, 3);
  odd.priority = static_cast<Priority>(9);
  CHECK(world.submit(std::move(odd)).refusal->code == Errc::bad_argument);
  Submission wordy = World::request(3, 3);
  wordy.client_key.assign(300, 'k');
  CHECK(world.submit(std::move(wordy)).refusal->code == Errc::bad_argument);
  CHECK(world.counters->stats().requests_refused == 10);
}
