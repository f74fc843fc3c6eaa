#pragma once
// Row-wise and element-wise operations of training, forward and backward. All matrices are row-major f32
// without gaps unless a stride is given. Every function runs on the calling thread over the rows, columns or
// elements it is given; the layers split them over the pool at fixed places, so that no sum depends on the
// number of threads.

#include <cstddef>
#include <cstdint>

namespace troupe {

/// out[r] = x[r] * factor[r] * weight, factor[r] = 1 / sqrt(mean x[r]² + eps), which is kept. x, out [rows,
/// cols].
void train_rms_norm(const float* x, const float* weight, float eps, std::size_t rows, std::size_t cols,
                    float* out, float* factors);
/// d_x += the gradient through train_rms_norm() of d_out [rows, cols].
void train_rms_norm_backward(const float* x, const float* weight, const float* factors, const float* d_out,
                             std::size_t rows, std::size_t cols, float* d_x);

/// out[r] = (x[r] - mean[r]) * factor[r] * weight + bias, factor[r] = 1 / sqrt(variance + eps).
void train_layer_norm(const float* x, const float* weight, const float* bias, float eps, std::size_t rows,
                      std::size_t cols, float* out, float* means, float* factors);
/// d_x += the gradient through train_layer_norm().
void train_layer_norm_backward(const float* x, const float* weight, const float* means, const float* factors,
                               const float* d_out, std::size_t rows, std::size_t cols, float* d_x);

/// The gradient of a norm's weight, columns [first, first + count) of `cols`, rows in order:
/// d_weight[c] += sum over r of d_out[r, c] * (x[r, c] - means[r]) * factors[r]. means may be null (zeros).
void train_norm_weight_backward(const float* x, const float* means, const float* factors, const float* d_out,
                                std::size_t rows, std::size_t cols, std::size_t first, std::size_t count,
                                float* d_weight);

/// d_bias[c] += sum over r of d_out[r, c], for columns [first, first + count), rows in order.
void train_bias_backward(const float* d_out, std::size_t rows, std::size_t cols, std::size_t first,
                         std::size_t count, float* d_bias);

/// x[r] += bias, [rows, cols].
void train_add_bias(float* x, const float* bias, std::size_t rows, std::size_t cols);

/// out[r, i] = silu(gate_up[r, i]) * gate_up[r, width + i]; gate_up [rows, 2 width], out [rows, width].
void train_silu_mul(const float* gate_up, std::size_t rows, std::size_t width, float* out);
/// d_gate_up [rows, 2 width] from d_out [rows, width]; overwritten.
void train_silu_mul_backward(const float* gate_up, const float* d_out, std::size_t rows, std::size_t width,
                             float* d_gate_up);

/// out = gelu(x) in its tanh form, 0.5 x (1 + tanh(sqrt(2/π) (x + 0.044715 x³))); n elements.
void train_gelu(const float* x, std::size_t n, float* out);
/// d_x = d_out * gelu'(x); d_x may be d_out.
void train_gelu_backward(const float* x, const float* d_out, std::size_t n, float* d_x);

/// One row of logits [n] becomes the gradient (softmax - one-hot of `target`) * scale; returns the loss
/// -log softmax[target]. NaN if a logit is NaN.
float train_cross_entropy(float* logits, std::size_t n, std::size_t target, float scale);
/// The loss alone; logits stay.
float train_cross_entropy_loss(const float* logits, std::size_t n, std::size_t target);

/// y[i] = x[i] + (kept(i) ? y[i] / (1 - rate) : 0): a sublayer's output joins the residual.
/// Element i is dropped when the number (seed, stream, first + i) of base/random.hpp's Philox generator, four
/// to a counter, is below rate; the same numbers come on every target. n elements; rate in (0, 1); first is a
/// multiple of 4. With x null: y[i] = kept(i) ? y[i] / (1 - rate) : 0, which is the backward pass too.
void train_dropout(float* y, const float* x, std::size_t n, float rate, std::uint64_t seed,
                   std::uint64_t stream, std::uint64_t first);

}  // namespace troupe
