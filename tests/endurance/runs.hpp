#pragma once
// The two ways in which a load is disturbed. Each holds every answer against an undisturbed run, prints what
// it measured, and ends the process by violation() when a promise is broken.

#include <cstdint>
#include <memory>

#include "troupe/model.hpp"

namespace troupe::test {

struct FaultRun {
  std::uint64_t faults = 0;  ///< deaths of generators and of batchers, and steps that fail
  std::uint64_t seed = 1;
  /// Restarts pause as the options' defaults have it, and faults are as far apart as its budget asks for;
  /// else restarts are unlimited and come at once.
  bool default_budget = false;
};
void run_faults(const std::shared_ptr<const Model>& model, const FaultRun& run);

struct CancelRun {
  std::uint64_t cancels = 0;
  std::uint64_t seed = 1;
};
void run_cancels(const std::shared_ptr<const Model>& model, const CancelRun& run);

}  // namespace troupe::test
