#pragma once
// The learning rate as a function of the step.

#include <cstdint>
#include <optional>
#include <string_view>

namespace troupe::train {

enum class ScheduleKind : std::uint8_t {
  constant,   ///< the rate stays
  cosine,     ///< half a cosine from rate down to rate_min at the last step
  step,       ///< times `step_factor` every `step_every` steps, never below rate_min
  one_cycle,  ///< half a cosine up from rate_min during the warm-up, then half a cosine down to rate_min
};

/// The kind called "constant", "cosine", "step" or "one-cycle".
std::optional<ScheduleKind> find_schedule(std::string_view name);

struct Schedule {
  ScheduleKind kind = ScheduleKind::cosine;
  double rate = 1e-3;
  double rate_min = 1e-4;
  std::uint64_t warmup_steps = 100;  ///< linear from rate / warmup_steps, except with one_cycle
  std::uint64_t steps = 1000;        ///< of the whole run
  std::uint64_t step_every = 1000;
  double step_factor = 0.5;
};

/// The rate of step 0, 1, …; beyond the last step that of the last.
double rate_at(const Schedule& schedule, std::uint64_t step);

}  // namespace troupe::train
