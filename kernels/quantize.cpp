#include "kernels/quantize.hpp"

#include <cstring>

#include "base/check.hpp"
#include "kernels/block_codec.hpp"
#include "kernels/block_encoders.hpp"
#include "kernels/f16.hpp"

namespace troupe {
namespace {

void put_u16(std::uint16_t bits, std::byte* out) {
  std::memcpy(out, &bits, sizeof bits);
}

std::uint16_t get_u16(const std::byte* in) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, in, sizeof bits);
  return bits;
}

bool is_float(TensorType type) {
  return type == TensorType::f32 || type == TensorType::f16 || type == TensorType::bf16;
}

}  // namespace

bool encoding_supported(TensorType type) noexcept {
  return is_float(type) || find_encoder(type) != nullptr;
}

bool decoding_supported(TensorType type) noexcept {
  return is_float(type) || find_codec(type) != nullptr;
}

std::size_t encoded_bytes(TensorType type, std::size_t cols) noexcept {
  const TensorTypeInfo info = tensor_type_info(type);
  return info.block_elements == 0 ? 0 : cols / info.block_elements * info.block_bytes;
}

void encode_row(TensorType type, std::span<const float> values, std::span<std::byte> out) {
  TROUPE_CHECK(encoding_supported(type));
  const std::size_t cols = values.size();
  const TensorTypeInfo info = tensor_type_info(type);
  TROUPE_CHECK(cols % info.block_elements == 0);
  TROUPE_CHECK(out.size() == encoded_bytes(type, cols));
  switch (type) {
    case TensorType::f32:
      if (cols != 0) std::memcpy(out.data(), values.data(), out.size());
      return;
    case TensorType::f16:
      for (std::size_t i = 0; i < cols; ++i) put_u16(f32_to_f16(values[i]), &out[2 * i]);
      return;
    case TensorType::bf16:
      for (std::size_t i = 0; i < cols; ++i) put_u16(f32_to_bf16(values[i]), &out[2 * i]);
      return;
    default: break;
  }
  const BlockEncoder& encoder = *find_encoder(type);
  for (std::size_t b = 0; b < cols / info.block_elements; ++b)
    encoder.encode(&values[b * info.block_elements], &out[b * info.block_bytes]);
}

void decode_row(TensorType type, std::span<const std::byte> bytes, std::span<float> out) {
  TROUPE_CHECK(decoding_supported(type));
  const std::size_t cols = out.size();
  TROUPE_CHECK(cols % tensor_type_info(type).block_elements == 0);
  TROUPE_CHECK(bytes.size() == encoded_bytes(type, cols));
  switch (type) {
    case TensorType::f32:
      if (cols != 0) std::memcpy(out.data(), bytes.data(), bytes.size());
      return;
    case TensorType::f16:
      for (std::size_t i = 0; i < cols; ++i) out[i] = f16_to_f32(get_u16(&bytes[2 * i]));
      return;
    case TensorType::bf16:
      for (std::size_t i = 0; i < cols; ++i) out[i] = bf16_to_f32(get_u16(&bytes[2 * i]));
      return;
    default: break;
  }
  const BlockCodec& codec = *find_codec(type);
  for (std::size_t i = 0; i < cols; i += 32) {
    const std::byte* block_bytes = &bytes[i / codec.cols * codec.bytes];
    const std::size_t sub_block = i % codec.cols / 32;
    std::uint32_t words[8];
    codec.read_codes(block_bytes, sub_block, words);
    decode_codes(codec, words, codec.read_scales(block_bytes, sub_block), &out[i]);
  }
}

}  // namespace troupe
