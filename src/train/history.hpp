#pragma once
// How a run went so far: what the loss curve shows and a resumed run carries on.

#include <cstdint>
#include <limits>
#include <vector>

namespace troupe::train {

struct ValidationPoint {
  std::uint64_t step = 0;  ///< steps done when it was measured
  double loss = 0;         ///< nats per token
};

struct History {
  std::vector<float> losses;  ///< of training, one per step
  std::vector<ValidationPoint> validations;

  /// The lowest validation loss; infinity before the first.
  double best() const {
    double lowest = std::numeric_limits<double>::infinity();
    for (const auto& point : validations) lowest = point.loss < lowest ? point.loss : lowest;
    return lowest;
  }
};

}  // namespace troupe::train
