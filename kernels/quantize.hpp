#pragma once
// f32 rows to the encodings of a model file, and back.

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/tensor_type.hpp"

namespace troupe {

/// Whether encode_row knows `type`: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K.
bool encoding_supported(TensorType type) noexcept;

/// Whether decode_row knows `type`: those that encode_row does, and Q2_K, Q3_K, IQ4_NL and IQ4_XS.
bool decoding_supported(TensorType type) noexcept;

/// Bytes of `cols` elements of `type`.
std::size_t encoded_bytes(TensorType type, std::size_t cols) noexcept;

/// Encodes `values` as `type` into `out`, in the blocks of base/weight_blocks.hpp. Preconditions (checked,
/// abort): encoding_supported(type), values.size() is a multiple of the type's block, out.size() ==
/// encoded_bytes(type, values.size()). Blocks of 32 have the bytes that ggml's reference gives them:
///   Q8_0         d = max|x| / 127, q = round(x / d), halves away from zero
///   Q4_0, Q5_0   d = m / -8 or -16, m the value of largest magnitude (the first of equals),
///                q = min(15 or 31, trunc(x / d + 8.5 or 16.5))
///   Q4_1, Q5_1   m = min x, d = (max x - m) / 15 or 31, q = trunc((x - m) / d + 0.5)
/// Q4_K, Q5_K and Q6_K search for the scales (and minima) with the least squared error, weighted towards
/// large values; ggml searches too, along other paths.
void encode_row(TensorType type, std::span<const float> values, std::span<std::byte> out);

/// The inverse: the values that `bytes` stands for, rounded to f32 once. Preconditions as above, with
/// decoding_supported(type).
void decode_row(TensorType type, std::span<const std::byte> bytes, std::span<float> out);

}  // namespace troupe
