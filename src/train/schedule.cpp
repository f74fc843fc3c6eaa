#include "train/schedule.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace troupe::train {
namespace {

/// From `from` at share 0 to `to` at share 1, along half a cosine.
double half_cosine(double from, double to, double share) {
  return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * share));
}

}  // namespace

std::optional<ScheduleKind> find_schedule(std::string_view name) {
  if (name == "constant") return ScheduleKind::constant;
  if (name == "cosine") return ScheduleKind::cosine;
  if (name == "step") return ScheduleKind::step;
  if (name == "one-cycle") return ScheduleKind::one_cycle;
  return std::nullopt;
}

double rate_at(const Schedule& s, std::uint64_t step) {
  if (s.steps > 0) step = std::min(step, s.steps - 1);
  if (step < s.warmup_steps) {
    const double share = static_cast<double>(step + 1) / static_cast<double>(s.warmup_steps);
    return s.kind == ScheduleKind::one_cycle ? half_cosine(s.rate_min, s.rate, share) : s.rate * share;
  }
  switch (s.kind) {
    case ScheduleKind::constant: return s.rate;
    case ScheduleKind::step:
      return std::max(
          s.rate_min,
          s.rate * std::pow(s.step_factor, static_cast<double>((step - s.warmup_steps) /
                                                               std::max<std::uint64_t>(1, s.step_every))));
    case ScheduleKind::cosine:
    case ScheduleKind::one_cycle: break;
  }
  // The first step behind the warm-up has the full rate, the last one rate_min.
  const std::uint64_t falling = s.steps - s.warmup_steps;
  if (falling <= 1) return s.rate;
  return half_cosine(s.rate, s.rate_min,
                     static_cast<double>(step - s.warmup_steps) / static_cast<double>(falling - 1));
}

}  // namespace troupe::train
