#pragma once
// The optimizer's element-wise operations on flat f32 arrays. They run on the calling thread.

#include <cstddef>

namespace troupe {

/// The sum of squares of n floats in double: partial sums of 4096 floats, in order.
double train_sum_of_squares(const float* x, std::size_t n);

/// One step of AdamW (Loshchilov and Hutter, "Decoupled weight decay regularization", 2019) on n elements.
struct AdamStep {
  float gradient_scale = 1;  ///< of clipping
  float rate = 0;            ///< learning rate
  float beta1 = 0, beta2 = 0, eps = 0;
  float decay = 0;        ///< weight decay; 0 for this parameter if it takes none
  float correction1 = 1;  ///< 1 / (1 - beta1^t)
  float correction2 = 1;  ///< 1 / (1 - beta2^t)
};
void train_adam(const AdamStep& step, const float* gradient, std::size_t n, float* parameter, float* mean,
                float* square);

}  // namespace troupe
