#pragma once
// How weights are packed. Floats are interleaved: for each column the values of 32 rows. A block of a packed
// quantized matrix holds the same columns as a block of the file, of 16 rows, in the same number of bytes:
//   the block's fields (kernels/block_codec.hpp), each [16 rows], in the codec's order
//   its sub-blocks of 32 columns, each in planes [quads][16 rows][4 columns] of 64 bytes per quad:
//     8 bits   8 quads: a byte is the code of its column
//     4 bits   4 quads: the low nibbles of quad v are columns 4v.., the high ones columns 16 + 4v..
//     2 bits   2 quads: bits 2i and 2i + 1 of quad v are columns 16v + 4i..
//     1 bit    1 quad: bits i are columns 4i..
//   in this order; a code of 5 bits is a plane of its low 4 and one of its highest, of 6 bits 4 and 2, of 3
//   bits 2 and 1.
// Example, Q4_K: f16 d[16]; f16 dmin[16]; 4 bytes of scales [3][16]; 8 times 4 quads: 2304 bytes.

#include <cstddef>
#include <cstring>

#include "kernels/block_codec.hpp"
#include "kernels/weight_kernel.hpp"

namespace troupe {

/// WeightKernel::pack_group and read_row for a type with blocks.
void pack_blocks(const BlockCodec& codec, const std::byte* rows, std::size_t row_bytes, std::size_t count,
                 std::size_t cols, std::byte* group);
void read_packed_row(const BlockCodec& codec, const std::byte* group, std::size_t row, std::size_t cols,
                     float* out);

/// The same for a type of floats.
template <class Stored>
void pack_floats(const std::byte* rows, std::size_t row_bytes, std::size_t count, std::size_t cols,
                 std::byte* group) {
  auto* out = reinterpret_cast<Stored*>(group);
  std::memset(group, 0, cols * float_group_rows * sizeof(Stored));
  for (std::size_t r = 0; r < count; ++r, rows += row_bytes)
    for (std::size_t k = 0; k < cols; ++k)
      std::memcpy(&out[k * float_group_rows + r], rows + k * sizeof(Stored), sizeof(Stored));
}
template <class Stored, float (*to_f32)(Stored)>
void read_packed_floats(const std::byte* group, std::size_t row, std::size_t cols, float* out) {
  const auto* in = reinterpret_cast<const Stored*>(group) + row;
  for (std::size_t k = 0; k < cols; ++k) out[k] = to_f32(in[k * float_group_rows]);
}

/// The kernel of a type of floats, which are kept as Stored.
template <TensorType type, class Stored, float (*to_f32)(Stored)>
constexpr WeightKernel float_weights(void (*multiply)(const MatmulOperands&, const MatmulRange&)) {
  return {type,
          false,
          float_group_rows,
          1,
          float_group_rows * sizeof(Stored),
          pack_floats<Stored>,
          read_packed_floats<Stored, to_f32>,
          multiply};
}

/// The kernel of a quantized type whose blocks are of type Block.
template <TensorType type, class Block, std::size_t cols>
constexpr WeightKernel quantized_weights(void (*multiply)(const MatmulOperands&, const MatmulRange&)) {
  return {type,
          true,
          group_rows,
          cols,
          group_rows * sizeof(Block),
          [](const std::byte* rows, std::size_t row_bytes, std::size_t count, std::size_t columns,
             std::byte* group) { pack_blocks(*find_codec(type), rows, row_bytes, count, columns, group); },
          [](const std::byte* group, std::size_t row, std::size_t columns, float* out) {
            read_packed_row(*find_codec(type), group, row, columns, out);
          },
          multiply};
}

}  // namespace troupe
