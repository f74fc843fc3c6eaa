// The queue of requests: its bounds, its order, what is fair.

#include "actors/admission.hpp"

#include <map>
#include <set>

#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr auto epoch = std::chrono::steady_clock::time_point{} + 1h;

std::vector<std::uint64_t> pop_all(AdmissionQueue& queue) {
  std::vector<std::uint64_t> ids;
  while (const auto id = queue.pop()) ids.push_back(*id);
  return ids;
}

/// Clients that each have `waiting` requests in the queue at any time, served one after the other.
struct Contest {
  AdmissionQueue queue{10'000, 100'000'000};
  std::uint64_t last_id = 0;
  std::map<std::uint64_t, std::string> key_of;
  std::map<std::string, std::uint64_t> served;

  void add(const std::string& key, int count = 1) {
    for (int i = 0; i < count; ++i) {
      key_of[++last_id] = key;
      REQUIRE(queue.push({last_id, 1000, Priority::normal, key, epoch}));
    }
  }

  /// Serves the next request, whose answer comes to `cost` tokens of its key; its client asks again.
  std::string serve(const std::map<std::string, std::uint64_t>& cost) {
    const std::string key = key_of.at(*queue.pop());
    queue.charge(Priority::normal, key, cost.at(key));
    served[key] += cost.at(key);
    add(key);
    queue.leave(Priority::normal, key);
    return key;
  }
};

}  // namespace

TEST_CASE("the queue refuses beyond its bound of requests or tokens", "[actors]") {
  AdmissionQueue queue(2, 100);
  CHECK(queue.push({1, 60, Priority::normal, "", epoch}));
  CHECK_FALSE(queue.push({2, 41, Priority::normal, "", epoch}));
  CHECK(queue.push({2, 40, Priority::normal, "", epoch}));
  CHECK_FALSE(queue.push({3, 0, Priority::normal, "", epoch}));
  CHECK(queue.full());
  CHECK(queue.tokens_before(30) == 50);  // one request of two must leave
  CHECK(queue.tokens_before(90) == 90);
  CHECK(queue.erase(1));
  CHECK_FALSE(queue.erase(1));
  CHECK_FALSE(queue.full());
  CHECK(queue.requests() == 1);
  CHECK(queue.tokens() == 40);
  AdmissionQueue small(2, 10);
  CHECK(small.push({1, 1000, Priority::normal, "", epoch}));  // larger than the bound, but alone
}

TEST_CASE("within a key the earliest deadline goes first, then the order of arrival", "[actors]") {
  AdmissionQueue queue(10, 1000);
  queue.push({1, 1, Priority::normal, "k", epoch + 9s});
  queue.push({2, 1, Priority::normal, "k", epoch + 3s});
  queue.push({3, 1, Priority::normal, "k", epoch + 9s});
  CHECK(pop_all(queue) == std::vector<std::uint64_t>{2, 1, 3});
}

TEST_CASE("higher priorities go first but starve nobody", "[actors]") {
  AdmissionQueue queue(100, 100000);
  queue.push({1000, 1, Priority::low, "", epoch});
  for (std::uint64_t i = 0; i < 20; ++i)
    queue.push({i, 1, i % 2 ? Priority::high : Priority::normal, "", epoch});
  const auto order = pop_all(queue);
  CHECK(order[0] % 2 == 1);
  CHECK(order[7] == 1000);  // every 8th is from the lowest that waits
}

TEST_CASE("keys share tokens evenly, however many or long requests each has", "[actors]") {
  Contest contest;
  contest.add("greedy", 64);
  contest.add("a");
  contest.add("b", 3);
  // They all asked for as much; what they got is what counts.
  const std::map<std::string, std::uint64_t> cost{{"greedy", 1000}, {"a", 100}, {"b", 300}};
  for (int i = 0; i < 2000; ++i) contest.serve(cost);
  const double third =
      static_cast<double>(contest.served["greedy"] + contest.served["a"] + contest.served["b"]) / 3;
  for (const auto& [key, tokens] : contest.served)
    CHECK(static_cast<double>(tokens) == Approx(third).epsilon(0.02));
}

TEST_CASE("tokens that are served while a key waits count before its next turn", "[actors]") {
  Contest contest;
  contest.add("long", 8);
  contest.add("short", 8);
  const std::string first = contest.key_of.at(*contest.queue.pop());
  contest.queue.charge(Priority::normal, first, 10);
  CHECK(contest.key_of.at(*contest.queue.peek()) != first);
  contest.queue.charge(Priority::normal, first, 500);  // its answer goes on and on
  for (int i = 0; i < 6; ++i) CHECK(contest.serve({{"long", 100}, {"short", 100}}) != first);
  CHECK(contest.serve({{"long", 100}, {"short", 100}}) == first);
}

TEST_CASE("a key that was away has neither saved up a share nor lost its place", "[actors]") {
  Contest contest;
  const std::map<std::string, std::uint64_t> cost{{"busy", 100}, {"late", 100}};
  contest.add("busy", 10);
  for (int i = 0; i < 500; ++i) contest.serve(cost);
  contest.add("late", 10);
  contest.served.clear();
  for (int i = 0; i < 10; ++i) contest.serve(cost);
  CHECK(contest.served["late"] == Approx(contest.served["busy"]).margin(100));
}

TEST_CASE("keys that come once each do not starve one that waits", "[actors]") {
  Contest contest;
  contest.add("regular", 8);
  bool newcomer_waits = false;
  for (int i = 0; i < 400; ++i) {
    if (!newcomer_waits) {
      contest.key_of[++contest.last_id] = "once " + std::to_string(i);
      REQUIRE(contest.queue.push(
          {contest.last_id, 10, Priority::normal, contest.key_of[contest.last_id], epoch}));
    }
    const std::string key = contest.key_of.at(*contest.queue.pop());
    newcomer_waits = key == "regular";
    contest.queue.charge(Priority::normal, key, 40);
    contest.served[key == "regular" ? key : "once"] += 40;
    contest.queue.leave(Priority::normal, key);
    if (key == "regular") contest.add(key);
  }
  CHECK(contest.served["regular"] >= 400 * 40 / 3);
}

TEST_CASE("what peek shows is what pop takes", "[actors]") {
  AdmissionQueue queue(1000, 10'000'000);
  for (std::uint64_t i = 1; i <= 300; ++i) {
    queue.push({i, i * 37 % 900, static_cast<Priority>(i % 3), std::string(1, static_cast<char>('a' + i % 5)),
                epoch});
  }
  std::set<std::uint64_t> seen;
  while (const auto next = queue.peek()) {
    REQUIRE(queue.peek() == next);
    REQUIRE(queue.pop() == next);
    REQUIRE(seen.insert(*next).second);
  }
  CHECK(seen.size() == 300);
  CHECK(queue.tokens() == 0);
}

TEST_CASE("the time to retry follows the measured drain rate", "[actors]") {
  DrainRate rate;
  CHECK(rate.time_for(1000) == 1s);
  rate.begin_work(epoch);
  rate.add(1000, epoch + 1s);
  CHECK(rate.time_for(2000) == 2s);
  rate.begin_work(epoch + 1h);  // an hour without work is not an hour of draining
  rate.add(1000, epoch + 1h + 1s);
  CHECK(rate.time_for(2000) == 2s);
  CHECK(rate.time_for(1) == 50ms);
  CHECK(rate.time_for(1'000'000'000) == 60s);
}

TEST_CASE("readers that are away count in the bounds of the queue when they make way", "[actors]") {
  AdmissionQueue queue(3, 1000);
  REQUIRE(queue.push({1, 100, Priority::normal, "a", {}}));
  REQUIRE(queue.pop() == 1U);
  queue.count_waiting(100);
  REQUIRE(queue.push({2, 100, Priority::normal, "a", {}}));
  CHECK(queue.requests() == 2);
  CHECK(queue.tokens() == 200);
  CHECK_FALSE(queue.push({3, 801, Priority::normal, "a", {}}));
  REQUIRE(queue.push({3, 800, Priority::normal, "a", {}}));
  CHECK(queue.full());
  CHECK_FALSE(queue.push({4, 1, Priority::normal, "a", {}}));
  CHECK(queue.peek() == 2U);  // the other waits for something else
  queue.count_no_longer(100);
  CHECK(queue.push({4, 1, Priority::normal, "a", {}}));
}
