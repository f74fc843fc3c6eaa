#include "train/schedule.hpp"

#include <cmath>

#include "support/catch.hpp"

using namespace troupe::train;

namespace {

Schedule of(ScheduleKind kind) {
  Schedule s;
  s.kind = kind;
  s.rate = 0.01;
  s.rate_min = 0.001;
  s.warmup_steps = 4;
  s.steps = 25;
  s.step_every = 5;
  s.step_factor = 0.5;
  return s;
}

}  // namespace

TEST_CASE("the rate rises in equal steps during the warm-up", "[train][schedule]") {
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::cosine, ScheduleKind::step}) {
    const Schedule s = of(kind);
    CHECK(rate_at(s, 0) == Approx(0.0025));
    CHECK(rate_at(s, 1) == Approx(0.005));
    CHECK(rate_at(s, 3) == Approx(0.01));
    CHECK(rate_at(s, 4) == Approx(0.01));
  }
}

TEST_CASE("a constant rate stays after the warm-up", "[train][schedule]") {
  for (const std::uint64_t step : {4U, 10U, 24U, 1000U})
    CHECK(rate_at(of(ScheduleKind::constant), step) == Approx(0.01));
}

TEST_CASE("a cosine falls from the full rate to the lowest at the last step", "[train][schedule]") {
  const Schedule s = of(ScheduleKind::cosine);  // falls over steps 4 to 24
  CHECK(rate_at(s, 9) == Approx(0.001 + 0.009 * 0.5 * (1 + std::sqrt(0.5))));
  CHECK(rate_at(s, 14) == Approx(0.0055));
  CHECK(rate_at(s, 24) == Approx(0.001));
  CHECK(rate_at(s, 1000) == Approx(0.001));
}

TEST_CASE("a step schedule halves the rate every few steps down to the lowest", "[train][schedule]") {
  const Schedule s = of(ScheduleKind::step);
  CHECK(rate_at(s, 8) == Approx(0.01));
  CHECK(rate_at(s, 9) == Approx(0.005));
  CHECK(rate_at(s, 14) == Approx(0.0025));
  CHECK(rate_at(s, 19) == Approx(0.00125));
  CHECK(rate_at(s, 24) == Approx(0.001));
}

TEST_CASE("one cycle rises along a cosine from the lowest rate and falls back to it", "[train][schedule]") {
  const Schedule s = of(ScheduleKind::one_cycle);
  CHECK(rate_at(s, 0) == Approx(0.01 - 0.009 * 0.5 * (1 + std::sqrt(0.5))));
  CHECK(rate_at(s, 1) == Approx(0.0055));
  CHECK(rate_at(s, 3) == Approx(0.01));
  CHECK(rate_at(s, 14) == Approx(0.0055));
  CHECK(rate_at(s, 24) == Approx(0.001));
}

TEST_CASE("a run that is all warm-up, or has one step, has a rate for every step", "[train][schedule]") {
  Schedule s = of(ScheduleKind::cosine);
  s.warmup_steps = s.steps = 10;
  CHECK(rate_at(s, 9) == Approx(0.01));
  CHECK(rate_at(s, 10) == Approx(0.01));
  s.warmup_steps = 0, s.steps = 1;
  CHECK(rate_at(s, 0) == Approx(0.01));
}

TEST_CASE("schedules are known by their names only", "[train][schedule]") {
  CHECK(find_schedule("one-cycle") == ScheduleKind::one_cycle);
  CHECK(find_schedule("cosine") == ScheduleKind::cosine);
  CHECK(find_schedule("constant") == ScheduleKind::constant);
  CHECK(find_schedule("step") == ScheduleKind::step);
  CHECK_FALSE(find_schedule("Cosine"));
  CHECK_FALSE(find_schedule(""));
}
