#pragma once
// Numbers to feed the kernels: reproducible, and the same on every machine.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/tensor_type.hpp"
#include "kernels/f16.hpp"
#include "kernels/quantize.hpp"
#include "kernels/targets.hpp"

namespace troupe::test {

/// A small generator (xorshift64*), so that samples do not depend on a library's distributions.
class Samples {
 public:
  explicit Samples(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}

  std::uint32_t bits() {
    state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
    return static_cast<std::uint32_t>(state_ * 0x2545F4914F6CDD1Du >> 32);
  }
  /// Uniform in [-scale, scale).
  float value(float scale = 1) { return (static_cast<float>(bits() >> 8) * 0x1p-23f - 1) * scale; }
  std::size_t below(std::size_t n) { return bits() % n; }

  std::vector<float> values(std::size_t n, float scale = 1) {
    std::vector<float> out(n);
    for (float& v : out) v = value(scale);
    return out;
  }

 private:
  std::uint64_t state_;
};

/// Rows of `cols` values, encoded as in a file.
inline std::vector<std::byte> encode(TensorType type, std::span<const float> values, std::size_t cols) {
  const std::size_t row_bytes = encoded_bytes(type, cols);
  std::vector<std::byte> out(values.size() / cols * row_bytes);
  for (std::size_t row = 0; row < values.size() / cols; ++row)
    encode_row(type, values.subspan(row * cols, cols), std::span(out).subspan(row * row_bytes, row_bytes));
  return out;
}

/// Every type that matmul knows.
inline constexpr TensorType all_types[] = {
    TensorType::f32,  TensorType::f16,  TensorType::bf16, TensorType::q8_0,   TensorType::q4_0,
    TensorType::q4_1, TensorType::q5_0, TensorType::q5_1, TensorType::q2_k,   TensorType::q3_k,
    TensorType::q4_k, TensorType::q5_k, TensorType::q6_k, TensorType::iq4_nl, TensorType::iq4_xs};

/// Where the f16 of a block are: its scale, and that of its minima or the minimum, if it has one.
inline std::vector<std::size_t> f16_offsets(TensorType type) {
  switch (type) {
    case TensorType::q4_1:
    case TensorType::q5_1:
    case TensorType::q4_k:
    case TensorType::q5_k: return {0, 2};
    case TensorType::q2_k: return {80, 82};
    case TensorType::q3_k: return {108};
    case TensorType::q6_k: return {208};
    default: return {0};
  }
}

/// `count` weights of a type with blocks: every bit drawn, but for scales, which are in [scale / 2, scale).
inline std::vector<std::byte> random_blocks(TensorType type, std::size_t count, float scale,
                                            Samples& samples) {
  const TensorTypeInfo info = tensor_type_info(type);
  std::vector<std::byte> out(encoded_bytes(type, count));
  for (std::byte& b : out) b = static_cast<std::byte>(samples.bits() >> 9 & 255);
  for (std::size_t block = 0; block < out.size(); block += info.block_bytes)
    for (const std::size_t at : f16_offsets(type)) {
      const std::uint16_t half = f32_to_f16(scale * (0.75f + samples.value(0.25f)));
      std::memcpy(&out[block + at], &half, sizeof half);
    }
  return out;
}

inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

/// Runs the rest of a scope with one instruction set, then goes back to the best.
class WithTarget {
 public:
  explicit WithTarget(const std::string& name) { force_kernel_target(name); }
  ~WithTarget() { force_kernel_target(""); }
  WithTarget(const WithTarget&) = delete;
  WithTarget& operator=(const WithTarget&) = delete;
};

/// Whether a target rounds a multiply-add once: those agree in every bit.
inline bool has_fused_multiply_add(const std::string& target) {
  return target.starts_with("AVX") || target.starts_with("NEON");
}

}  // namespace troupe::test
