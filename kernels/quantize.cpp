#include "kernels/quantize.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.hpp"
#include "kernels/f16.hpp"

namespace troupe {
namespace {

constexpr std::size_t block = 32;

void put_f16(std::byte* out, float value) {
  const std::uint16_t bits = f32_to_f16(value);
  std::memcpy(out, &bits, sizeof bits);
}

float get_f16(const std::byte* in) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, in, sizeof bits);
  return f16_to_f32(bits);
}

void encode_q8_0(const float* x, std::byte* out) {
  float largest = 0;
  for (std::size_t i = 0; i < block; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float d = largest / 127.0f;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  put_f16(out, d);
  for (std::size_t i = 0; i < block; ++i) {
    // Bounded before the conversion: a NaN or infinite weight must not be undefined behaviour.
    const float q = std::round(x[i] * inverse);
    out[2 + i] = static_cast<std::byte>(static_cast<std::int8_t>(q >= -127 ? std::min(q, 127.0f) : -127.0f));
  }
}

void encode_q4_0(const float* x, std::byte* out) {
  float largest = 0, value = 0;
  for (std::size_t i = 0; i < block; ++i) {
    if (std::fabs(x[i]) > largest) largest = std::fabs(x[i]), value = x[i];
  }
  const float d = value / -8.0f;
  const float inverse = d != 0 ? 1.0f / d : 0.0f;
  put_f16(out, d);
  const auto nibble = [inverse](float v) {
    const float q = v * inverse + 8.5f;
    return static_cast<unsigned>(q >= 0 ? std::min(q, 15.0f) : 0.0f);
  };
  for (std::size_t i = 0; i < block / 2; ++i)
    out[2 + i] = static_cast<std::byte>(nibble(x[i]) | nibble(x[i + block / 2]) << 4);
}

}  // namespace

bool encoding_supported(TensorType type) noexcept {
  return type == TensorType::f32 || type == TensorType::f16 || type == TensorType::q8_0 ||
         type == TensorType::q4_0;
}

std::size_t encoded_bytes(TensorType type, std::size_t cols) noexcept {
  const TensorTypeInfo info = tensor_type_info(type);
  return info.block_elements == 0 ? 0 : cols / info.block_elements * info.block_bytes;
}

void encode_row(TensorType type, std::span<const float> values, std::span<std::byte> out) {
  TROUPE_CHECK(encoding_supported(type));
  const std::size_t cols = values.size();
  TROUPE_CHECK(cols % tensor_type_info(type).block_elements == 0);
  TROUPE_CHECK(out.size() == encoded_bytes(type, cols));
  switch (type) {
    case TensorType::f32:
      if (cols != 0) std::memcpy(out.data(), values.data(), out.size());
      return;
    case TensorType::f16:
      for (std::size_t i = 0; i < cols; ++i) put_f16(&out[2 * i], values[i]);
      return;
    case TensorType::q8_0:
      for (std::size_t b = 0; b < cols / block; ++b) encode_q8_0(&values[b * block], &out[b * 34]);
      return;
    default:
      for (std::size_t b = 0; b < cols / block; ++b) encode_q4_0(&values[b * block], &out[b * 18]);
      return;
  }
}

void decode_row(TensorType type, std::span<const std::byte> bytes, std::span<float> out) {
  TROUPE_CHECK(encoding_supported(type));
  const std::size_t cols = out.size();
  TROUPE_CHECK(cols % tensor_type_info(type).block_elements == 0);
  TROUPE_CHECK(bytes.size() == encoded_bytes(type, cols));
  switch (type) {
    case TensorType::f32:
      if (cols != 0) std::memcpy(out.data(), bytes.data(), bytes.size());
      return;
    case TensorType::f16:
      for (std::size_t i = 0; i < cols; ++i) out[i] = get_f16(&bytes[2 * i]);
      return;
    case TensorType::q8_0:
      for (std::size_t i = 0; i < cols; ++i) {
        const std::byte* b = &bytes[i / block * 34];
        out[i] = get_f16(b) * static_cast<float>(static_cast<std::int8_t>(b[2 + i % block]));
      }
      return;
    default:
      for (std::size_t i = 0; i < cols; ++i) {
        const std::byte* b = &bytes[i / block * 18];
        const auto pair = static_cast<unsigned>(b[2 + i % 16]);
        const unsigned nibble = i % block < 16 ? pair & 15u : pair >> 4;
        out[i] = get_f16(b) * (static_cast<float>(nibble) - 8.0f);
      }
      return;
  }
}

}  // namespace troupe
