#pragma once
// f32 values to the blocks of base/weight_blocks.hpp.

#include <cstddef>

#include "base/tensor_type.hpp"

namespace troupe {

/// How blocks of one type are made from as many values as a block has.
struct BlockEncoder {
  TensorType type;
  void (*encode)(const float* values, std::byte* block);
};

/// The encoder of `type`, or nullptr.
const BlockEncoder* find_encoder(TensorType type) noexcept;

}  // namespace troupe
