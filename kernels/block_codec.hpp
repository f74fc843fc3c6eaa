#pragma once
// The blocks of a file (base/weight_blocks.hpp), 32 columns at a time in one common form. It serves to decode
// and to pack; multiplying has forms of its own.

#include <cstddef>
#include <cstdint>

#include "base/tensor_type.hpp"

namespace troupe {

/// What the code of a weight stands for.
enum class CodeKind : std::uint8_t {
  offset,     ///< code - offset
  signed8,    ///< the byte as an int8
  iq4_table,  ///< blocks::iq4_values[code]
};

/// Bytes of a block that belong to its scales and that are packed as they are.
struct BlockField {
  std::uint8_t offset = 0;
  std::uint8_t bytes = 0;  ///< 2 or 4; 0: no more fields
};

/// The scales of 32 columns: weight = scale[k / 16] * value(code) - min[k / 16].
struct BlockScales {
  float scale[2];
  float min[2];
};

/// How blocks of one type are read. Column k of the 32 has byte k % 4, lowest first, of word k / 4.
struct BlockCodec {
  TensorType type;
  std::size_t cols;       ///< weights of a block
  std::size_t bytes;      ///< of a block
  std::size_t code_bits;  ///< 2, 3, 4, 5, 6 or 8
  CodeKind kind;
  int code_offset;
  BlockField fields[6];
  void (*read_codes)(const std::byte* block, std::size_t sub_block, std::uint32_t words[8]);
  /// Reads the fields alone.
  BlockScales (*read_scales)(const std::byte* block, std::size_t sub_block);
};

/// The codec of `type`, or nullptr if it has no blocks or is not known.
const BlockCodec* find_codec(TensorType type) noexcept;

/// The 32 weights of codes and scales, rounded once.
void decode_codes(const BlockCodec& codec, const std::uint32_t words[8], const BlockScales& scales,
                  float* out);

}  // namespace troupe
