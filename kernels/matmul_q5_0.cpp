// Weights in Q5_0.

#include "base/weight_blocks.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_q5_0.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

using Q5_0Format = ScaledFormat<5, UnsignedDot<31, 16>>;
static_assert(Q5_0Format::packed_bytes == group_rows * sizeof(blocks::Q5_0));

void multiply_q5_0(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q5_0Format>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_q5_0);

}  // namespace

const WeightKernel q5_0_weights =
    quantized_weights<TensorType::q5_0, blocks::Q5_0, 32>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q5_0)
      (m, r);
    });

}  // namespace troupe
#endif
