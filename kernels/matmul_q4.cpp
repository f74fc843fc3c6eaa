// Weights of four bits with a minimum: Q4_1 and Q4_K.

#include "base/weight_blocks.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_q4.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

using Dot4 = UnsignedDot<15, 0>;
using Q4_1Format = ScaledMinFormat<4, Dot4>;
using Q4KFormat = ScaledMinKFormat<4, Dot4>;
static_assert(Q4_1Format::packed_bytes == group_rows * sizeof(blocks::Q4_1));
static_assert(Q4KFormat::packed_bytes == group_rows * sizeof(blocks::Q4K));

void multiply_q4_1(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q4_1Format>(m, r);
}
void multiply_q4_k(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q4KFormat>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_q4_1);
HWY_EXPORT(multiply_q4_k);

}  // namespace

const WeightKernel q4_1_weights =
    quantized_weights<TensorType::q4_1, blocks::Q4_1, 32>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q4_1)
      (m, r);
    });
const WeightKernel q4_k_weights =
    quantized_weights<TensorType::q4_k, blocks::Q4K, 256>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q4_k)
      (m, r);
    });

}  // namespace troupe
#endif
