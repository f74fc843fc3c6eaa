#pragma once
// Every kernel again, one scalar at a time in double precision and straight from its formula: what the tests
// and fuzzers compare with. Not linked into the product.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor_type.hpp"
#include "kernels/attention.hpp"
#include "kernels/ops.hpp"

namespace troupe::reference {

/// The values of `bytes`, `cols` elements of any type that matmul knows, in the file's layout.
std::vector<double> decode(TensorType type, std::span<const std::byte> bytes, std::size_t cols);

/// One block of 32 activations as the quantized kernels see it.
struct ActivationBlock {
  float scale = 0;  ///< max|x| / 127, 0 when max|x| <= 1e-30
  std::int8_t values[32] = {};
};
ActivationBlock quantize_activations(const float* x);

/// y[r, i] = sum over k of x[r, k] * w[i, k]; x: [x_rows, cols], w: [w_rows, cols], result [x_rows, w_rows].
std::vector<double> matmul(std::span<const double> x, std::span<const double> w, std::size_t x_rows,
                           std::size_t w_rows, std::size_t cols);

std::vector<double> rms_norm(std::span<const float> x, std::span<const float> weight, double eps);
std::vector<double> layer_norm(std::span<const float> x, std::span<const float> weight,
                               std::span<const float> bias, double eps);
std::vector<double> silu_mul(std::span<const float> gate, std::span<const float> up);
std::vector<double> gelu(std::span<const float> x);
std::vector<double> softmax(std::span<const float> x);
/// One head of rope(); cosines and sines [rope_dim / 2].
std::vector<double> rope(RopeStyle style, std::span<const float> head, std::span<const float> cosines,
                         std::span<const float> sines);

std::vector<double> relu_squared(std::span<const float> x);
std::vector<double> soft_cap(std::span<const float> x, double cap);

/// One query head: q [dim]; k, v [positions][dim]; attends to all of them. softcap 0: none.
std::vector<double> attention(std::span<const float> q, std::span<const double> k, std::span<const double> v,
                              double scale, double softcap = 0);

}  // namespace troupe::reference
