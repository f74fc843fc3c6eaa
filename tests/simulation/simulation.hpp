#pragma once
// One seed: router, generators and batcher under the load of a scenario, on CAF's deterministic scheduler and
// in virtual time. Which actor handles its next message is left to the dice, as on a machine with threads.

#include <cstdint>
#include <memory>

#include "simulation/stream_check.hpp"
#include "troupe/model.hpp"

namespace troupe::test {

/// Runs the seed to its end. What is wrong is a violation(). With `trace`, stderr says what happens.
Tally simulate(std::uint64_t seed, const std::shared_ptr<const Model>& model, bool trace);

}  // namespace troupe::test
