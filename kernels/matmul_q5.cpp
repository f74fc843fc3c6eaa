// Weights of five bits with a minimum: Q5_1 and Q5_K.

#include "base/weight_blocks.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_q5.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

using Dot5 = UnsignedDot<31, 0>;
using Q5_1Format = ScaledMinFormat<5, Dot5>;
using Q5KFormat = ScaledMinKFormat<5, Dot5>;
static_assert(Q5_1Format::packed_bytes == group_rows * sizeof(blocks::Q5_1));
static_assert(Q5KFormat::packed_bytes == group_rows * sizeof(blocks::Q5K));

void multiply_q5_1(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q5_1Format>(m, r);
}
void multiply_q5_k(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q5KFormat>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_q5_1);
HWY_EXPORT(multiply_q5_k);

}  // namespace

const WeightKernel q5_1_weights =
    quantized_weights<TensorType::q5_1, blocks::Q5_1, 32>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q5_1)
      (m, r);
    });
const WeightKernel q5_k_weights =
    quantized_weights<TensorType::q5_k, blocks::Q5K, 256>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q5_k)
      (m, r);
    });

}  // namespace troupe
#endif
