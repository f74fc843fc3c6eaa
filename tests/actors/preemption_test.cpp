// Places that are taken back: from whom, for whom, and that nobody can tell from the answers.

#include <algorithm>
#include <set>

#include "actors/admission.hpp"
#include "actors/preemption.hpp"
#include "actors/world.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using test::check_same_answers;
using test::pool_of;
using test::undisturbed;
using test::World;

namespace {

using Ids = std::vector<std::uint64_t>;

std::vector<Runner> runners_of(const std::map<std::string_view, std::size_t>& places) {
  std::vector<Runner> runners;
  for (const auto& [key, count] : places) {
    for (std::size_t i = 0; i < count; ++i)
      runners.push_back({runners.size() + 1, key, Priority::normal, runners.size() + 1, true});
  }
  return runners;
}

/// Whether so many make way.
std::function<bool(const Ids&)> at_least(std::size_t count) {
  return [count](const Ids& they) { return they.size() >= count; };
}

Submission request_of(std::string key, std::size_t prompt_tokens, std::uint32_t max_tokens,
                      std::uint64_t seed) {
  Submission submission = World::request(prompt_tokens, max_tokens, seed);
  submission.client_key = std::move(key);
  return submission;
}

/// Clients that each have one request at a time, and the next when that has ended.
class Clients {
 public:
  explicit Clients(World& world) : world_(world) {}

  void begin(const std::string& key, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) submit(key);
  }
  void run(std::uint64_t steps) {
    for (std::uint64_t i = 0; i < steps; ++i) {
      world_.run_steps(1);
      for (StreamTag tag = 1, last = key_of_.size(); tag <= last; ++tag) {
        const test::Record& record = world_.records[tag];
        tokens_[key_of_.at(tag)] += record.tokens.size() - seen_[tag];
        seen_[tag] = record.tokens.size();
        if (record.ends == 0 || !ended_.insert(tag).second) continue;
        submit(key_of_.at(tag));
      }
    }
  }
  /// Of all tokens since the last call.
  std::map<std::string, double> shares() {
    double all = 0;
    for (const auto& [key, count] : tokens_) all += static_cast<double>(count);
    std::map<std::string, double> shares;
    for (const auto& [key, count] : tokens_) shares[key] = static_cast<double>(count) / all;
    tokens_.clear();
    return shares;
  }

 private:
  void submit(const std::string& key) {
    const StreamTag tag = key_of_.size() + 1;
    world_.wake_router();  // submit() gives it one turn
    REQUIRE_FALSE(world_.submit(request_of(key, 8, 64, tag)).refusal);
    key_of_[tag] = key;
  }

  World& world_;
  std::map<StreamTag, std::string> key_of_;
  std::map<std::string, std::size_t> tokens_;
  std::map<StreamTag, std::size_t> seen_;
  std::set<StreamTag> ended_;
};

}  // namespace

TEST_CASE("places are taken from the key that has most, the youngest first", "[actors]") {
  const auto runners = runners_of({{"a", 2}, {"b", 5}, {"c", 1}});  // ids 1 to 8
  CHECK(who_makes_way("d", Priority::normal, runners, at_least(1)) == Ids{7});
  CHECK(who_makes_way("d", Priority::normal, runners, at_least(3)) == (Ids{7, 6, 5}));
  CHECK(who_makes_way("d", Priority::normal, runners, at_least(0)) == Ids{});
  // Of keys that are even, the younger.
  CHECK(who_makes_way("d", Priority::normal, runners, at_least(4)) == (Ids{7, 6, 5, 4}));
  CHECK(who_makes_way("d", Priority::normal, runners, at_least(5)) == (Ids{7, 6, 5, 4, 2}));
}

TEST_CASE("no place is taken from a key that has hardly more, nor if all that may go are not enough",
          "[actors]") {
  CHECK_FALSE(who_makes_way("a", Priority::normal, runners_of({{"a", 2}, {"b", 3}}), at_least(1)));
  CHECK(who_makes_way("a", Priority::normal, runners_of({{"a", 1}, {"b", 3}}), at_least(1)) == Ids{4});
  CHECK_FALSE(who_makes_way("a", Priority::normal, runners_of({{"a", 1}, {"b", 3}}), at_least(2)));
  CHECK_FALSE(who_makes_way("b", Priority::normal, runners_of({{"b", 8}}), at_least(1)));
  CHECK_FALSE(who_makes_way("a", Priority::normal, {}, at_least(1)));
}

TEST_CASE("nobody makes way who makes no room", "[actors]") {
  const auto with = [](std::uint64_t id) {
    return [id](const Ids& they) { return std::find(they.begin(), they.end(), id) != they.end(); };
  };
  std::vector<Runner> runners = runners_of({{"a", 7}});
  CHECK(who_makes_way("d", Priority::normal, runners, with(4)) == Ids{4});
  CHECK_FALSE(who_makes_way_for_evicted(runners, with(4)));
  for (Runner& runner : runners) runner.paused = true;
  CHECK(who_makes_way_for_evicted(runners, with(4)) == Ids{4});
  CHECK(who_makes_way_for_evicted(runners, at_least(3)) == (Ids{7, 6, 5}));
}

TEST_CASE("whoever has just been started stays, and so does a higher priority", "[actors]") {
  auto runners = runners_of({{"b", 3}});
  runners[2].may_go = false;
  CHECK(who_makes_way("a", Priority::normal, runners, at_least(1)) == Ids{2});
  runners[1].priority = Priority::high;
  CHECK(who_makes_way("a", Priority::normal, runners, at_least(1)) == Ids{1});
  CHECK(who_makes_way("a", Priority::high, runners, at_least(1)) == Ids{2});
}

TEST_CASE("a request that made way waits in front of its key, and behind keys that were served less",
          "[actors]") {
  const auto later = std::chrono::steady_clock::time_point{} + 1h;
  const auto request = [&](std::uint64_t id, const char* key) {
    return QueuedRequest{id, 10, Priority::normal, key, later};
  };
  AdmissionQueue queue(4, 1000);
  for (const std::uint64_t id : {1, 2, 3}) REQUIRE(queue.push(request(id, "a")));
  REQUIRE(queue.push(request(4, "b")));
  CHECK(queue.pop() == 1);
  queue.charge(Priority::normal, "a", 50);
  CHECK(queue.pop() == 4);
  CHECK(queue.pop() == 2);
  queue.charge(Priority::normal, "a", 10);
  queue.put_back(request(2, "a"), 2);
  queue.put_back(request(1, "a"), 1);
  REQUIRE(queue.push(request(5, "b")));
  CHECK(queue.requests() == 4);
  CHECK_FALSE(queue.push(request(6, "c")));  // they count
  CHECK(queue.tokens() == 40);
  CHECK(queue.pop() == 5);
  CHECK(queue.pop() == 1);
  CHECK(queue.pop() == 2);
  CHECK(queue.pop() == 3);
  queue.put_back(request(3, "a"), 3);
  CHECK(queue.erase(3));
  CHECK(queue.requests() == 0);
  CHECK(queue.tokens() == 0);
}

TEST_CASE("clients whose requests hold the whole pool make way for others, down to equal parts", "[actors]") {
  World world(pool_of(8));
  for (std::uint64_t i = 0; i < 20; ++i) world.submit(request_of("greedy", 4, 200, i));
  world.run_steps(30);
  world.wake_router();
  for (const char* key : {"a", "b", "c"}) {
    for (std::uint64_t i = 0; i < 2; ++i) world.submit(request_of(key, 4, 200, 50 + i));
  }
  world.run_steps(6);
  for (StreamTag tag = 21; tag <= 26; ++tag) CHECK_FALSE(world.records[tag].tokens.empty());
  CHECK(world.counters->preemptions == 6);
  CHECK(world.counters->replays == 0);
  CHECK(world.counters->requests_running == 8);
  const auto before = world.records;
  world.run_steps(10);
  std::size_t greedy_running = 0;
  for (StreamTag tag = 1; tag <= 8; ++tag)
    greedy_running += world.records[tag].tokens.size() > before.at(tag).tokens.size();
  CHECK(greedy_running == 2);
  CHECK(world.counters->preemptions == 6);
  world.settle();
  CHECK(world.ledger->open.empty());
}

TEST_CASE("a place is not taken back before its request has had some tokens", "[actors]") {
  World world(pool_of(2));
  for (std::uint64_t i = 0; i < 2; ++i) world.submit(request_of("greedy", 4, 200, i));
  world.run_steps(served_min / 2);
  world.wake_router();
  world.submit(request_of("modest", 4, 20, 7));
  world.run();
  CHECK(world.counters->preemptions == 1);
  World again(pool_of(2));
  for (std::uint64_t i = 0; i < 2; ++i) again.submit(request_of("greedy", 4, 200, i));
  again.run_steps(served_min / 2);
  again.wake_router();
  again.submit(request_of("modest", 4, 20, 7));
  again.run_steps(served_min / 2 - 2);
  CHECK(again.counters->preemptions == 0);
  again.run_steps(8);
  CHECK(again.counters->preemptions == 1);
  CHECK_FALSE(again.records[3].tokens.empty());
}

TEST_CASE("a stream that waits for its reader makes way at once, and goes on with its window", "[actors]") {
  World world(pool_of(2));
  std::vector<RequestId> ids;
  for (std::uint64_t i = 0; i < 2; ++i) {
    Submission slow = request_of("greedy", 4, 40, i);
    slow.window_tokens = 8;
    ids.push_back(world.submit(std::move(slow)).request);
  }
  world.run();
  world.submit(request_of("modest", 4, 300, 7));
  world.run_steps(20);
  CHECK(world.counters->preemptions == 1);
  CHECK(world.records[3].tokens.size() >= 18);
  for (int i = 0; i < 10; ++i) {
    for (const RequestId id : ids) world.consumed(id, 4);
    world.settle();
  }
  World alone(pool_of(3));
  for (std::uint64_t i = 0; i < 2; ++i) alone.submit(request_of("greedy", 4, 40, i));
  alone.submit(request_of("modest", 4, 300, 7));
  alone.settle();
  check_same_answers(world.records, alone.records);
}

TEST_CASE("answers are the same however often their requests had to make way", "[actors]") {
  constexpr std::size_t count = 120;
  const auto want = undisturbed(count, 60);
  World world(pool_of(8));
  for (std::uint64_t i = 0; i < count; ++i) {
    Submission submission = World::request(3 + i % 40, 60, i);
    submission.client_key = i < 60 ? "greedy" : std::string(1, static_cast<char>('a' + i % 3));
    world.submit(std::move(submission));
    if (i < 60) continue;
    world.run_steps(4);
    world.wake_router();
  }
  world.settle();
  CHECK(world.counters->preemptions > 10);
  check_same_answers(world.records, want);
  CHECK(world.ledger->open.empty());
}

TEST_CASE("clients with a few requests get their fair part beside one with many", "[actors]") {
  for (const std::size_t modest_clients : {1, 2, 4}) {
    INFO(modest_clients << " clients of each modest key");
    World world(test::roomy(pool_of(8)));
    Clients clients(world);
    clients.begin("greedy", 64);
    clients.run(40);
    for (const char* key : {"a", "b", "c"}) clients.begin(key, modest_clients);
    clients.run(100);
    clients.shares();
    clients.run(600);
    const double fair = modest_clients == 1 ? 1.0 / 8 : 1.0 / 4;
    const auto shares = clients.shares();
    for (const char* key : {"a", "b", "c"}) CHECK(shares.at(key) > 0.9 * fair);
    CHECK(shares.at("greedy") > 0.9 * fair);
  }
}
