// Weights in F16 and BF16. Packed: for each column the 16 rows' values.

#include <cstring>

#include "kernels/f16.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/weight_kernel.hpp"

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
  multiply_range<FloatKernel<F16Weight>>(m, r);
}
void multiply_bf16(const MatmulOperands& m, const MatmulRange& r) {
  multiply_range<FloatKernel<Bf16Weight>>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_f16);
HWY_EXPORT(multiply_bf16);

using Stored = std::uint16_t;

void pack_group(const std::byte* rows, std::size_t row_bytes, std::size_t count, std::size_t cols,
                std::byte* group) {
  auto* out = reinterpret_cast<Stored*>(group);
  std::memset(group, 0, cols * group_rows * sizeof(Stored));
  for (std::size_t r = 0; r < count; ++r, rows += row_bytes)
    for (std::size_t k = 0; k < cols; ++k)
      std::memcpy(&out[k * group_rows + r], rows + k * sizeof(Stored), sizeof(Stored));
}

template <float (*to_f32)(std::uint16_t)>
void read_row(const std::byte* group, std::size_t row, std::size_t cols, float* out) {
  const auto* in = reinterpret_cast<const Stored*>(group) + row;
  for (std::size_t k = 0; k < cols; ++k) out[k] = to_f32(in[k * group_rows]);
}

constexpr WeightKernel kernel(TensorType type, decltype(WeightKernel::read_row) read,
                              decltype(WeightKernel::multiply) multiply) {
  return {type, false, 1, group_rows * sizeof(Stored), pack_group, read, multiply};
}

}  // namespace

const WeightKernel f16_weights =
    kernel(TensorType::f16, read_row<f16_to_f32>, [](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_f16)(m, r);
    });
const WeightKernel bf16_weights =
    kernel(TensorType::bf16, read_row<bf16_to_f32>, [](const MatmulOperands& m, const MatmulRange& r) {
      HWY_DYNAMIC_DISPATCH(multiply_bf16)(m, r);
    });

}  // namespace troupe
#endif
