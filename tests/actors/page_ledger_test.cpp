// KV memory that is promised to more requests than it can hold at their longest: pure policy.

#include "actors/page_ledger.hpp"

#include <array>

#include "actors/batch_plan.hpp"
#include "actors/preemption.hpp"
#include "support/catch.hpp"

using namespace troupe;

TEST_CASE("a request may start when all have room to grow for a while", "[actors]") {
  PageLedger ledger(10, true);
  CHECK(ledger.fits({300, 310}, {}));
  ledger.start(1, {32, 320});
  CHECK(ledger.pages() == 2);                 // it is about to need the second
  CHECK(ledger.fits({100, 1000}, {}));        // 3 pages to 96 and 6 to 164
  CHECK_FALSE(ledger.fits({200, 1000}, {}));  // 9 to 264
  CHECK(ledger.fits({200, 220}, {}));         // never more than 7
  CHECK(ledger.fits({200, 1000}, std::array<std::uint64_t, 1>{1}));
}

TEST_CASE("who had to make way needs more room each time, at last all that it may get", "[actors]") {
  PageLedger ledger(20, true);
  ledger.start(1, {32, 2000});
  CHECK(ledger.fits({32, 2000, 0}, {}));        // both to 96
  CHECK(ledger.fits({32, 2000, 1}, {}));        // both to 160
  CHECK(ledger.fits({32, 2000, 2}, {}));        // both to 288: 18 pages
  CHECK_FALSE(ledger.fits({32, 2000, 3}, {}));  // both to 544
  constexpr std::array<std::uint64_t, 1> gone{1};
  CHECK_FALSE(ledger.fits({32, 2000, 1000}, gone));
  CHECK(ledger.fits({32, 640, 1000}, gone));
}

TEST_CASE("pages are overdrawn when requests have grown beyond them, and never by one alone", "[actors]") {
  PageLedger ledger(4, true);
  for (const std::uint64_t id : {7, 8, 9}) ledger.start(id, {24, 128});
  CHECK(ledger.pages() == 3);
  ledger.grow(8);
  CHECK(ledger.pages() == 4);
  CHECK_FALSE(ledger.overdrawn());
  ledger.grow(7);
  CHECK(ledger.overdrawn());
  ledger.end(8);
  CHECK_FALSE(ledger.overdrawn());
  CHECK(ledger.pages() == 3);
  ledger.end(9);
  for (int i = 25; i < 128; ++i) ledger.grow(7);
  CHECK(ledger.pages() == 4);
  CHECK_FALSE(ledger.overdrawn());
}

TEST_CASE("without over-commitment a request has all its pages from the start on", "[actors]") {
  PageLedger ledger(10, false);
  CHECK(ledger.promised({10, 200}) == 200);
  CHECK(PageLedger(10, true).promised({10, 200}) == 0);
  ledger.start(1, {10, 200});
  CHECK(ledger.pages() == 7);
  CHECK_FALSE(ledger.fits({10, 100}, {}));
  CHECK(ledger.fits({10, 96}, {}));
  ledger.grow(1);
  CHECK(ledger.pages() == 7);
}

TEST_CASE("the youngest is evicted, but before it the youngest of those that wait for their readers",
          "[actors]") {
  std::vector<Runner> runners(4);
  for (std::size_t i = 0; i < runners.size(); ++i) runners[i].id = runners[i].seniority = i + 1;
  std::swap(runners[1], runners[3]);
  CHECK(who_is_evicted(runners) == 4);
  runners[0].paused = true;
  CHECK(who_is_evicted(runners) == 1);
  runners[2].paused = true;
  CHECK(who_is_evicted(runners) == 3);
}

TEST_CASE("for a request that was evicted those make way that wait for their readers, and nobody in vain",
          "[actors]") {
  std::vector<Runner> runners(4);
  for (std::size_t i = 0; i < runners.size(); ++i) {
    runners[i].id = runners[i].seniority = i + 1;
    runners[i].paused = i != 3;
  }
  using Ids = std::vector<std::uint64_t>;
  const auto so_many = [](std::size_t count) {
    return [count](const Ids& they) { return they.size() >= count; };
  };
  CHECK(who_makes_way_for_evicted(runners, so_many(1)) == Ids{3});
  CHECK(who_makes_way_for_evicted(runners, so_many(3)) == (Ids{3, 2, 1}));
  CHECK_FALSE(who_makes_way_for_evicted(runners, so_many(4)));
}

TEST_CASE("rows without pages wait, and do not keep others from theirs", "[actors]") {
  std::vector<PendingRows> pending(4);
  for (std::size_t i = 0; i < pending.size(); ++i) pending[i].sequence = pending[i].arrival = 4 - i;
  pending[0].pages = 1;  // the last that came
  pending[1].pages = 3;
  pending[2].pages = 2;
  std::size_t left = 0;
  const auto sequences = [&](std::size_t pages) {
    std::vector<SequenceId> ids;
    for (const PendingRows& rows : with_pages(pending, pages)) ids.push_back(rows.sequence);
    left = pages;
    return ids;
  };
  CHECK(sequences(7) == std::vector<SequenceId>{1, 2, 3, 4});
  CHECK(left == 1);
  CHECK(sequences(6) == std::vector<SequenceId>{1, 2, 3, 4});
  CHECK(sequences(5) == std::vector<SequenceId>{1, 2, 3});
  CHECK(sequences(4) == std::vector<SequenceId>{1, 2, 4});
  CHECK(left == 0);  // the third waits for the rest
  CHECK(sequences(1) == std::vector<SequenceId>{1, 4});
  CHECK(sequences(0) == std::vector<SequenceId>{1});
}
