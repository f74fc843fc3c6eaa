// Weights in Q4_0. A row's block of 32 columns in the file is an f16 scale and 16 bytes: byte i has element i
// in its low nibble and element i + 16 in its high one, each the value + 8. Packed, for each block of 32
// columns of 16 rows:
//   f16   scale[16 rows]
//   byte  [4 quads][16 rows][4]   byte 4 * quad + c of row r's block

#include <cstring>

#include "kernels/f16.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/weight_kernel.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul_q4_0.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/matmul_quantized-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

void multiply_q4_0(const MatmulOperands& m, const MatmulRange& r) {
  multiply_range<QuantizedKernel<ScaledBlock<NibbleQuads, 256>>>(m, r);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(multiply_q4_0);

constexpr std::size_t file_block_bytes = 18, packed_block_bytes = 32 + 256;

void pack_group(const std::byte* rows, std::size_t row_bytes, std::size_t count, std::size_t cols,
                std::byte* group) {
  std::memset(group, 0, cols / 32 * packed_block_bytes);
  for (std::size_t r = 0; r < count; ++r) {
    const std::byte* in = rows + r * row_bytes;
    std::byte* out = group;
    for (std::size_t b = 0; b < cols / 32; ++b, in += file_block_bytes, out += packed_block_bytes) {
      std::memcpy(out + 2 * r, in, 2);
      for (std::size_t quad = 0; quad < 4; ++quad)
        std::memcpy(out + 32 + quad * 64 + r * 4, in + 2 + quad * 4, 4);
    }
  }
}

void read_row(const std::byte* group, std::size_t row, std::size_t cols, float* out) {
  for (std::size_t b = 0; b < cols / 32; ++b, group += packed_block_bytes, out += 32) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, group + 2 * row, sizeof bits);
    const float scale = f16_to_f32(bits);
    for (std::size_t k = 0; k < 16; ++k) {
      const auto pair = static_cast<unsigned>(group[32 + k / 4 * 64 + row * 4 + k % 4]);
      out[k] = scale * (static_cast<float>(pair & 15u) - 8.0f);
      out[k + 16] = scale * (static_cast<float>(pair >> 4) - 8.0f);
    }
  }
}

}  // namespace

const WeightKernel q4_0_weights{TensorType::q4_0,
                                true,
                                32,
                                packed_block_bytes,
                                pack_group,
                                read_row,
                                [](const MatmulOperands& m, const MatmulRange& r) {
                                  HWY_DYNAMIC_DISPATCH(multiply_q4_0)(m, r);
                                }};

}  // namespace troupe
#endif
