#pragma once
// Whether a step waits for generators that have yet to ask. Pure: no actors, no clock.

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace troupe {

/// A step that could run while generators still choose their tokens.
struct StepOutlook {
  using Duration = std::chrono::duration<double>;

  std::size_t ready = 0;    ///< sequences that are ready, at least one
  std::size_t late = 0;     ///< sequences whose generators have yet to answer
  Duration alone{};         ///< what the step is expected to take with those that are ready
  Duration together{};      ///< and with all
  Duration usual_answer{};  ///< how long the slowest of the late usually take to answer
};

/// How long the step waits for the late, from the moment at which it could run. Going without them costs each
/// of them a step that it sits out, and spares those that are ready what a smaller step takes less; waiting
/// costs those that are ready the time. So they wait until both come to the same, which costs at most twice
/// what knowing the future would; and not at all for those who are known to take longer.
inline StepOutlook::Duration straggler_wait(const StepOutlook& outlook, StepOutlook::Duration wait_max) {
  const auto ready = static_cast<double>(outlook.ready), late = static_cast<double>(outlook.late);
  const auto going = outlook.alone * late - (outlook.together - outlook.alone) * ready;
  const auto worth = std::clamp(going / ready, StepOutlook::Duration(0), wait_max);
  return outlook.usual_answer > worth ? StepOutlook::Duration(0) : worth;
}

}  // namespace troupe
