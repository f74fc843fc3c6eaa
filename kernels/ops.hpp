#pragma once
// The element-wise and row-wise operations of a transformer layer. All matrices are row-major f32. Each
// row's result depends on that row alone. Every function runs on the calling thread over the rows it is
// given; the layers split rows over the pool where that pays.

#include <cstddef>
#include <cstdint>

namespace troupe {

/// out[r, i] = x[r, i] * weight[i] / sqrt(mean over i of x[r, i]² + eps). x, out: [rows, cols]; may be equal.
void rms_norm(const float* x, const float* weight, float eps, std::size_t rows, std::size_t cols, float* out);

/// out[r, i] = (x[r, i] - mean) / sqrt(variance + eps) * weight[i] + bias[i]; mean and (biased) variance are
/// those of row r, the variance summed from the differences to the mean. x, out: [rows, cols]; may be equal.
void layer_norm(const float* x, const float* weight, const float* bias, float eps, std::size_t rows,
                std::size_t cols, float* out);

/// x[i] += y[i], n elements.
void add_in_place(float* x, const float* y, std::size_t n);

/// x[i] *= y[i], n elements.
void mul_in_place(float* x, const float* y, std::size_t n);

/// x[i] *= factor, n elements.
void scale_in_place(float* x, float factor, std::size_t n);

/// gate[i] = silu(gate[i]) * up[i], n elements; silu(x) = x / (1 + exp(-x)).
void silu_mul(float* gate, const float* up, std::size_t n);

/// x[i] = gelu(x[i]), n elements, in the tanh form of GPT-2: x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715
/// x³))), computed as x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x³))), which is the same.
void gelu(float* x, std::size_t n);

/// The same as ggml computes it, by a table of f16: within (-10, 10) argument and result are rounded to f16;
/// below, the result is 0, above, x itself. Models in GGUF are checked against that.
void gelu_f16(float* x, std::size_t n);

/// x[i] = max(x[i], 0)², n elements.
void relu_squared(float* x, std::size_t n);

/// x[i] = cap tanh(x[i] / cap), n elements; cap > 0. The soft-capping of Gemma 2's logits.
void soft_cap(float* x, float cap, std::size_t n);

/// Which two elements of a head are turned together by rope().
enum class RopeStyle : std::uint8_t {
  adjacent,  ///< (x[2i], x[2i+1]): GGUF's llama family, llama2.c
  halves,    ///< (x[i], x[i + dim/2]): GPT-NeoX order; qwen2, phi, gemma
};

/// Turns the first `rope_dim` elements of each head of x [heads, head_dim] in place by the angles whose
/// cosines and sines are given, [rope_dim / 2] each. rope_dim is even and at most head_dim.
void rope(RopeStyle style, float* x, std::size_t heads, std::size_t head_dim, std::size_t rope_dim,
          const float* cosines, const float* sines);

/// x[i] = exp(x[i] - max) / sum of those, n elements (n >= 1).
void softmax(float* x, std::size_t n);

}  // namespace troupe
