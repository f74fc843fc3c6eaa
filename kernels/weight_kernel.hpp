#pragma once
// What matmul needs to know about one weight type. To add a type: a file matmul_<type>.cpp that defines its
// WeightKernel, declared below, and a line in the table of matmul.cpp.

#include <cstddef>

#include "base/tensor_type.hpp"
#include "kernels/matmul.hpp"

namespace troupe {

/// Rows that quantized weights interleave: the lanes of a 512-bit vector of floats.
inline constexpr std::size_t group_rows = 16;
/// Rows that float weights interleave, so that one stream from memory feeds two chains of additions: a single
/// one waits for itself longer than for memory.
inline constexpr std::size_t float_group_rows = 2 * group_rows;

/// One product, cut into ranges of weight groups and activation rows.
struct MatmulOperands {
  const std::byte* weights = nullptr;  ///< [groups][group_bytes]
  std::size_t group_bytes = 0;
  std::size_t out_rows = 0;  ///< of w: the last group may have fewer than the others
  std::size_t cols = 0;
  const Activations* x = nullptr;
  float* y = nullptr;  ///< [x rows][y_stride]
  std::size_t y_stride = 0;
};
struct MatmulRange {
  std::size_t group_begin = 0, group_end = 0;
  std::size_t row_begin = 0, row_end = 0;
};

struct WeightKernel {
  TensorType type;
  bool int8_activations;    ///< multiply reads Activations' int8 form
  std::size_t group_rows;   ///< rows that are interleaved
  std::size_t block_cols;   ///< columns that are packed together
  std::size_t block_bytes;  ///< of block_cols columns of a group, packed
  /// Packs `count` (1..group_rows) rows, `row_bytes` apart, into `group`; the missing rows become zeros.
  void (*pack_group)(const std::byte* rows, std::size_t row_bytes, std::size_t count, std::size_t cols,
                     std::byte* group);
  /// The values of row `row` of a group.
  void (*read_row)(const std::byte* group, std::size_t row, std::size_t cols, float* out);
  /// Computes the outputs of `range`. Any cut into ranges gives the same bits.
  void (*multiply)(const MatmulOperands& operands, const MatmulRange& range);
};

extern const WeightKernel f32_weights;
extern const WeightKernel f16_weights;
extern const WeightKernel bf16_weights;
extern const WeightKernel q8_0_weights;
extern const WeightKernel q4_0_weights;
extern const WeightKernel q4_1_weights;
extern const WeightKernel q5_0_weights;
extern const WeightKernel q5_1_weights;
extern const WeightKernel q2_k_weights;
extern const WeightKernel q3_k_weights;
extern const WeightKernel q4_k_weights;
extern const WeightKernel q5_k_weights;
extern const WeightKernel q6_k_weights;
extern const WeightKernel iq4_nl_weights;
extern const WeightKernel iq4_xs_weights;

}  // namespace troupe
