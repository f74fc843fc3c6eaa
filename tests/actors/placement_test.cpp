// Where requests go: pure policy.

#include "actors/placement.hpp"

#include <array>
#include <numeric>

#include "kernels/attention.hpp"
#include "support/catch.hpp"

using namespace troupe;

namespace {

using Tokens = std::vector<Token>;

/// `pages` pages of tokens, and some more; different for each seed.
Tokens tokens_of(int seed, std::size_t pages, std::size_t more = 5) {
  Tokens tokens(pages * page_tokens + more);
  std::iota(tokens.begin(), tokens.end(), seed * 10'000);
  return tokens;
}

Tokens operator+(Tokens a, const Tokens& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

const Text no_text{};
constexpr std::array<Candidate, 3> idle{{{0, 0}, {1, 0}, {2, 0}}};

}  // namespace

TEST_CASE("the least loaded replica has the fewest tokens to compute, and is the first of equals",
          "[actors]") {
  const auto policy = make_routing_policy(Routing::least_loaded, 3, 100);
  CHECK(policy->choose(std::array<Candidate, 3>{{{0, 50}, {1, 20}, {2, 20}}}, no_text) == 1);
  CHECK(policy->choose(idle, no_text) == 0);
  CHECK(policy->choose(idle, no_text) == 0);
}

TEST_CASE("round robin takes all in turn, whatever their load, and leaves out those that cannot",
          "[actors]") {
  const auto policy = make_routing_policy(Routing::round_robin, 3, 100);
  std::vector<ReplicaIndex> chosen;
  for (int i = 0; i < 4; ++i)
    chosen.push_back(policy->choose(std::array<Candidate, 3>{{{0, 900}, {1, 20}, {2, 0}}}, no_text));
  CHECK(chosen == std::vector<ReplicaIndex>{0, 1, 2, 0});
  CHECK(policy->choose(std::array<Candidate, 2>{{{0, 0}, {2, 0}}}, no_text) == 2);
  CHECK(policy->choose(std::array<Candidate, 1>{{{1, 0}}}, no_text) == 1);
  CHECK(policy->choose(idle, no_text) == 2);
}

TEST_CASE("a prompt goes where the longest of its beginnings was given lately", "[actors]") {
  const auto policy = make_routing_policy(Routing::prefix_affinity, 3, 100);
  const Tokens system = tokens_of(1, 2, 0);
  const Tokens first = system + tokens_of(2, 3);
  const Tokens second = system + tokens_of(3, 3);
  CHECK(policy->choose(idle, {first, {}}) == 0);  // as least loaded
  policy->computes(1, {first, {}});
  policy->computes(2, {second, {}});
  CHECK(policy->choose(idle, {first, {}}) == 1);
  CHECK(policy->choose(idle, {second + tokens_of(4, 1), {}}) == 2);
  CHECK(policy->choose(idle, {system + tokens_of(5, 1), {}}) == 1);          // both have that much
  CHECK(policy->choose(idle, {tokens_of(1, 0, page_tokens - 1), {}}) == 0);  // no whole page
  policy->emptied(1);
  CHECK(policy->choose(idle, {first, {}}) == 2);  // the system prompt at least
}

TEST_CASE("the next turn of a chat goes where its last answer was given", "[actors]") {
  const auto policy = make_routing_policy(Routing::prefix_affinity, 2, 100);
  const Tokens question = tokens_of(1, 1), answer = tokens_of(2, 2);
  policy->computes(0, {question, {}});
  policy->computes(1, {question, answer});
  CHECK(policy->choose(std::array<Candidate, 2>{{{0, 0}, {1, 0}}}, {question + answer, {}}) == 1);
}

TEST_CASE("a beginning draws a prompt only as long as it saves more than the others are less loaded",
          "[actors]") {
  const auto policy = make_routing_policy(Routing::prefix_affinity, 2, 100);
  const Tokens prompt = tokens_of(1, 4);
  policy->computes(1, {prompt, {}});
  const auto chosen_at = [&](std::uint64_t lead) {
    return policy->choose(std::array<Candidate, 2>{{{0, 70}, {1, 70 + lead}}}, {prompt, {}});
  };
  CHECK(chosen_at(4 * page_tokens - 1) == 1);
  CHECK(chosen_at(4 * page_tokens + 1) == 0);
  CHECK(policy->choose(std::array<Candidate, 1>{{{0, 900}}}, {prompt, {}}) == 0);  // it has no room
}

TEST_CASE("what was given longest ago is forgotten first, texts from their end", "[actors]") {
  const auto policy = make_routing_policy(Routing::prefix_affinity, 2, 6);
  const Tokens old = tokens_of(1, 4), fresh = tokens_of(2, 4);
  policy->computes(1, {old, {}});
  policy->computes(1, {fresh, {}});  // leaves room for two pages of the old
  const auto lead_of = [&](const Tokens& prompt) {
    std::uint64_t lead = 0;
    while (policy->choose(std::array<Candidate, 2>{{{0, 0}, {1, lead}}}, {prompt, {}}) == 1) ++lead;
    return lead / page_tokens;
  };
  CHECK(lead_of(fresh) == 4);
  CHECK(lead_of(old) == 2);
}

namespace {

constexpr std::array<ReplicaIndex, 2> up{0, 1};

/// Requests that have all their pages from the start on, so many.
std::optional<Berth> take(Placement& placement, std::span<const ReplicaIndex> replicas, std::uint64_t request,
                          std::size_t pages) {
  return placement.take(replicas, request, no_text, {1, pages * page_tokens});
}

/// Whether so many are free there, and no more.
bool pages_free(const Placement& placement, ReplicaIndex replica, std::size_t pages) {
  const std::array<ReplicaIndex, 1> there{replica};
  return placement.has_room(there, {1, pages * page_tokens}, {}) &&
         !placement.has_room(there, {1, pages * page_tokens + 1}, {});
}

}  // namespace

TEST_CASE("berths are given out where the fewest tokens are left to compute", "[actors]") {
  Placement placement(Routing::least_loaded, 2, 100, false);
  auto long_one = take(placement, up, 7, 10);
  auto short_one = take(placement, up, 8, 2);
  REQUIRE(long_one);
  REQUIRE(short_one);
  CHECK(long_one->replica == 0);
  CHECK(long_one->promised == 10 * page_tokens);
  CHECK(short_one->replica == 1);
  CHECK(take(placement, up, 9, 1)->replica == 1);
  placement.got_token(*long_one, 12);
  CHECK(take(placement, up, 10, 1)->replica == 0);
  CHECK(pages_free(placement, 0, 100 - 10 - 1));
  CHECK(pages_free(placement, 1, 100 - 2 - 1));
  CHECK(placement.running(0) == 2);
  CHECK(placement.running(1) == 2);
  placement.give_back(*long_one);
  CHECK(pages_free(placement, 0, 100 - 1));
  CHECK(pages_free(placement, 1, 100 - 2 - 1));
  CHECK(placement.running(0) == 1);
}

TEST_CASE("a request goes only where its pages are free, however loaded that is", "[actors]") {
  for (const Routing routing : {Routing::least_loaded, Routing::round_robin, Routing::prefix_affinity}) {
    Placement placement(routing, 2, 10, false);
    auto hoarder = take(placement, up, 1, 8);
    const auto busy = take(placement, up, 2, 2);
    REQUIRE((hoarder && busy));
    REQUIRE(hoarder->replica == 0);
    REQUIRE(busy->replica == 1);
    placement.got_token(*hoarder, 1);  // the rest is hardly anything
    CHECK(take(placement, up, 3, 3)->replica == 1);
    CHECK_FALSE(take(placement, up, 4, 6));
    const std::array<std::uint64_t, 1> gone{1};
    CHECK(placement.has_room(up, {1, 6 * page_tokens}, gone));
    CHECK_FALSE(placement.has_room(std::span(up).subspan(1), {1, 6 * page_tokens}, gone));
    placement.give_back(*hoarder);
    CHECK(take(placement, up, 4, 6)->replica == 0);
  }
}

TEST_CASE("a request goes only to replicas that are up", "[actors]") {
  constexpr std::array<ReplicaIndex, 1> second{1};
  for (const Routing routing : {Routing::least_loaded, Routing::round_robin, Routing::prefix_affinity}) {
    Placement placement(routing, 2, 10, false);
    CHECK(take(placement, second, 1, 1)->replica == 1);
    CHECK(take(placement, second, 2, 1)->replica == 1);
    CHECK_FALSE(take(placement, {}, 3, 1));
  }
}

TEST_CASE("each replica has pages of its own to overdraw", "[actors]") {
  Placement placement(Routing::round_robin, 2, 4, true);
  const auto start = [&](std::uint64_t request) {
    return placement.take(up, request, no_text, {30, 128}).value();
  };
  start(1);
  Berth second = start(2);
  REQUIRE(second.replica == 1);
  CHECK(second.promised == 0);
  for (std::size_t i = 0; i < 90; ++i) placement.got_token(second, 90 - i);
  CHECK_FALSE(placement.overdrawn());
  // It has all pages of its replica; one more request than it would start there.
  const std::array<ReplicaIndex, 1> there{1};
  CHECK_FALSE(placement.has_room(there, {1, 2}, {}));
  CHECK(placement.has_room(up, {1, 2}, {}));
}
