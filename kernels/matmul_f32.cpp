// Weights in F32. Packed: for each column the 16 rows' values.

#include <cstring>

#include "kernels/f16.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/weight_kernel.hpp"

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
  multiply_range<FloatKernel<F32Weight>>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_f32);

using Stored = float;

void pack_group(const std::byte* rows, std::size_t row_bytes, std::size_t count, std::size_t cols,
                std::byte* group) {
  auto* out = reinterpret_cast<Stored*>(group);
  std::memset(group, 0, cols * group_rows * sizeof(Stored));
  for (std::size_t r = 0; r < count; ++r, rows += row_bytes)
    for (std::size_t k = 0; k < cols; ++k)
      std::memcpy(&out[k * group_rows + r], rows + k * sizeof(Stored), sizeof(Stored));
}

void read_row(const std::byte* group, std::size_t row, std::size_t cols, float* out) {
  const auto* in = reinterpret_cast<const Stored*>(group) + row;
  for (std::size_t k = 0; k < cols; ++k) out[k] = (in[k * group_rows]);
}

}  // namespace

const WeightKernel f32_weights{TensorType::f32,
                               false,
                               1,
                               group_rows * sizeof(Stored),
                               pack_group,
                               read_row,
                               [](const MatmulOperands& m, const MatmulRange& r) {
                                 HWY_DYNAMIC_DISPATCH(multiply_f32)(m, r);
                               }};

}  // namespace troupe
#endif
