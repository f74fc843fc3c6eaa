// Weights in F32.

#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_f32.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_float-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

struct F32Weight {
  using Stored = float;
  static HWY_INLINE FloatVector load(const Stored* from) { return hn::LoadU(FloatTag(), from); }
};

void multiply_f32(const MatmulOperands& m, const MatmulRange& r) {
  multiply_floats<F32Weight>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_f32);

float same(float value) {
  return value;
}

}  // namespace

const WeightKernel f32_weights =
    float_weights<TensorType::f32, float, same>([](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_f32)
      (m, r);
    });

}  // namespace troupe
#endif
