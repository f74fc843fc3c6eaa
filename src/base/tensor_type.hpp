#pragma once
// How the elements of a stored tensor are encoded: the numbering, block sizes and names of the GGUF
// format (ggml's `ggml_type`), which the other file formats and the kernels use too.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace troupe {

enum class TensorType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q8_1 = 9,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  q8_k = 15,
  iq2_xxs = 16,
  iq2_xs = 17,
  iq3_xxs = 18,
  iq1_s = 19,
  iq4_nl = 20,
  iq3_s = 21,
  iq2_s = 22,
  iq4_xs = 23,
  i8 = 24,
  i16 = 25,
  i32 = 26,
  i64 = 27,
  f64 = 28,
  iq1_m = 29,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  mxfp4 = 39,
};

/// Elements are stored in blocks of `block_elements` that take `block_bytes` each; a tensor's innermost
/// dimension is a multiple of block_elements. `name` is the spelling people use, e.g. "Q4_0".
struct TensorTypeInfo {
  std::string_view name;
  std::uint32_t block_elements = 0;  ///< 0: not a type that this build knows
  std::uint32_t block_bytes = 0;
};

/// Layout of `type`; block_elements is 0 when the number is not one that is known.
TensorTypeInfo tensor_type_info(TensorType type) noexcept;

}  // namespace troupe
