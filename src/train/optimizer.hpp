#pragma once
// AdamW over the flat arrays of a model's parameters.

#include <cstddef>
#include <cstdint>

#include "kernels/aligned.hpp"
#include "kernels/thread_pool.hpp"
#include "train/parameters.hpp"

namespace troupe::train {

struct AdamOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  /// Decoupled weight decay. Matrices and embeddings take it, norms and biases do not (nanoGPT's rule:
  /// whatever has two dimensions).
  double decay = 0.1;
  double clip = 1.0;  ///< the gradient's norm is scaled down to this; 0: never
};

/// The moments, and the step that uses them. Not thread-safe. Bits do not depend on the pool's threads.
class Optimizer {
 public:
  Optimizer(const ParameterLayout& layout, AdamOptions options, ThreadPool& pool);

  /// Updates `parameters` with `gradients` at learning rate `rate`; `step` counts from 0. Returns the
  /// gradient's norm before clipping. Nothing is changed when that is not finite.
  double update(float* parameters, const float* gradients, std::uint64_t step, double rate);

  float* means() { return means_.data(); }      ///< [layout.count]
  float* squares() { return squares_.data(); }  ///< [layout.count]

 private:
  double gradient_norm(const float* gradients);

  const ParameterLayout& layout_;
  AdamOptions options_;
  ThreadPool& pool_;
  AlignedBuffer<float> means_, squares_;
  AlignedBuffer<double> sums_;  // of squares, one per slice
};

}  // namespace troupe::train
