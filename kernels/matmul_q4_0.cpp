// Weights in Q4_0.

#include "base/weight_blocks.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_q4_0.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

using Q4_0Format = ScaledFormat<4, UnsignedDot<15, 8>>;
static_assert(Q4_0Format::packed_bytes == group_rows * sizeof(blocks::Q4_0));

void multiply_q4_0(const MatmulOperands& m, const MatmulRange& r) {
  multiply_quantized<Q4_0Format>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_q4_0);

}  // namespace

const WeightKernel q4_0_weights =
    quantized_weights<TensorType::q4_0, blocks::Q4_0, 32>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_q4_0)
      (m, r);
    });

}  // namespace troupe
#endif
