// Where requests go: pure policy.

#include <array>

#include "actors/placement.hpp"
#include "support/catch.hpp"

using namespace troupe;

TEST_CASE("the least loaded replica has the fewest tokens to compute, and is the first of equals",
          "[actors]") {
  const std::array<Candidate, 3> candidates{{{0, 50}, {1, 20}, {2, 20}}};
  CHECK(least_loaded(candidates) == 1);
  const std::array<Candidate, 2> idle{{{1, 0}, {2, 0}}};
  CHECK(least_loaded(idle) == 1);
}

TEST_CASE("berths are given out where the fewest tokens are left to compute", "[actors]") {
  constexpr std::array<ReplicaIndex, 2> up{0, 1};
  Placement placement(2, 100);
  auto long_one = placement.take(up, 10, 300);
  auto short_one = placement.take(up, 2, 40);
  REQUIRE(long_one);
  REQUIRE(short_one);
  CHECK(long_one->replica == 0);
  CHECK(short_one->replica == 1);
  CHECK(placement.take(up, 1, 10)->replica == 1);
  placement.still_open(*long_one, 12);
  CHECK(placement.take(up, 1, 10)->replica == 0);
  const auto pages_free = [&](ReplicaIndex replica, std::size_t pages) {
    const std::array<ReplicaIndex, 1> there{replica};
    return placement.has_room(there, pages, {}) && !placement.has_room(there, pages + 1, {});
  };
  CHECK(pages_free(0, 100 - 10 - 1));
  CHECK(pages_free(1, 100 - 2 - 1));
  placement.give_back(*long_one);
  CHECK(pages_free(0, 100 - 1));
  CHECK(pages_free(1, 100 - 2 - 1));
}

TEST_CASE("a request goes only where its pages are free, however loaded that is", "[actors]") {
  constexpr std::array<ReplicaIndex, 2> up{0, 1};
  Placement placement(2, 10);
  const auto hoarder = placement.take(up, 8, 1);
  const auto busy = placement.take(up, 2, 900);
  REQUIRE((hoarder && busy));
  REQUIRE(hoarder->replica == 0);
  REQUIRE(busy->replica == 1);
  CHECK(placement.take(up, 3, 1)->replica == 1);
  CHECK_FALSE(placement.take(up, 6, 1));
  placement.give_back(*hoarder);
  CHECK(placement.take(up, 6, 1)->replica == 0);
}

TEST_CASE("a request goes only to replicas that are up", "[actors]") {
  constexpr std::array<ReplicaIndex, 1> second{1};
  Placement placement(2, 10);
  CHECK(placement.take(second, 1, 5)->replica == 1);
  CHECK(placement.take(second, 1, 5)->replica == 1);
  CHECK_FALSE(placement.take({}, 1, 5));
}
