#pragma once
// How many guessed tokens a step verifies. Pure: no actors, no clock.

#include <cstddef>
#include <span>
#include <vector>

#include "actors/step_budget.hpp"

namespace troupe {

/// What a decode offers to have verified along with its token.
struct DraftOffer {
  std::size_t tokens = 0;
  double rate = 0;  ///< how likely each is right if those before it are
};

/// Chooses the drafts that make a step yield the most tokens per second, and none where they would not make
/// it yield more. One owner; not thread-safe.
class DraftPlan {
 public:
  /// How many of each offer's tokens to verify in a step of these decodes alone, in the same order. They
  /// count in the step's budget.
  std::vector<std::size_t> choose(std::span<const DraftOffer> offers, const StepBudget& budget);

  /// Less is not worth it: times vary by more.
  static constexpr double gain_min = 1.1;
  /// What rows cost is only known from steps that had them. So now and then likely drafts are taken although
  /// they are thought too expensive: after so many steps that refused some, twice as many each time, up to
  /// the max.
  static constexpr std::size_t retry_steps_min = 64, retry_steps_max = 2048;
  static constexpr double likely = 0.5;

 private:
  bool retry_is_due();

  std::size_t steps_refused_ = 0;
  std::size_t retry_steps_ = retry_steps_min;
};

}  // namespace troupe
