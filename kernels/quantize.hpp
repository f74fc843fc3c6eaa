#pragma once
// f32 rows to the encodings of a model file, with the rounding of ggml's reference quantizers, so that a
// file made here has the bytes of one made there.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/tensor_type.hpp"

namespace troupe {

/// Whether encode_row and decode_row know `type`: F32, F16, Q8_0, Q4_0.
bool encoding_supported(TensorType type) noexcept;

/// Bytes of `cols` elements of `type`.
std::size_t encoded_bytes(TensorType type, std::size_t cols) noexcept;

/// Encodes `values` as `type` into `out`. Preconditions (checked, abort): encoding_supported(type),
/// values.size() is a multiple of the type's block, out.size() == encoded_bytes(type, values.size()).
///   Q8_0: block of 32 = f16 scale d = max|x| / 127, then 32 int8 round(x / d), halves away from zero.
///   Q4_0: block of 32 = f16 scale d = m / -8, m the value of largest magnitude (the first of equals), then
///         16 bytes: low nibble element i, high nibble element i + 16, each min(15, trunc(x / d + 8.5)).
void encode_row(TensorType type, std::span<const float> values, std::span<std::byte> out);

/// The inverse: the values that `bytes` stands for, in f32. Same preconditions.
void decode_row(TensorType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace troupe
