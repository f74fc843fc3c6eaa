#pragma once
// What a token weighs in a draw, and the sums of a long row: a sampler may then draw from a whole vocabulary
// without writing its probabilities down.

#include <span>

#include "kernels/top_values.hpp"

namespace troupe {

/// weights[i] = exp((values[i] − largest) / temperature), with a relative error below 3e-7, or 0 where that
/// is below 1e-38. NaN counts as -infinity. `largest` is finite and no value is larger; temperature > 0.
/// weights: [values.size()].
void soft_weights(std::span<const float> values, float largest, float temperature, float* weights);

/// sums[b] = the sum of those of block b, maxima_block values each. sums: [maxima_blocks(values.size())].
void soft_weight_sums(std::span<const float> values, float largest, float temperature, float* sums);

}  // namespace troupe
