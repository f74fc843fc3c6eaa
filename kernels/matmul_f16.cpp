// Weights in F16 and BF16.

#include "kernels/f16.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/packing.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_f16.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_float-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

struct F16Weight {
  using Stored = std::uint16_t;
  static HWY_INLINE FloatVector load(const Stored* from) { return load_f16(FloatTag(), from); }
};

/// The upper half of a float.
struct Bf16Weight {
  using Stored = std::uint16_t;
  static HWY_INLINE FloatVector load(const Stored* from) {
    const IntTag d;
    const IntVector bits = hn::PromoteTo(d, hn::LoadU(hn::Rebind<Stored, IntTag>(), from));
    return hn::BitCast(FloatTag(), hn::ShiftLeft<16>(bits));
  }
};

void multiply_f16(const MatmulOperands& m, const MatmulRange& r) {
  multiply_floats<F16Weight>(m, r);
}
void multiply_bf16(const MatmulOperands& m, const MatmulRange& r) {
  multiply_floats<Bf16Weight>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_f16);
HWY_EXPORT(multiply_bf16);

}  // namespace

const WeightKernel f16_weights = float_weights<TensorType::f16, std::uint16_t, f16_to_f32>(
    [](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_f16)
      (m, r);
    });
const WeightKernel bf16_weights = float_weights<TensorType::bf16, std::uint16_t, bf16_to_f32>(
    [](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_bf16)
      (m, r);
    });

}  // namespace troupe
#endif
