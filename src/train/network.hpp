#pragma once
// The forward and backward pass over a batch of windows, with every buffer planned once.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/gemm.hpp"
#include "kernels/thread_pool.hpp"
#include "kernels/train_attention.hpp"
#include "train/parameters.hpp"
#include "train/shape.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe::train {

/// Windows of `time` tokens behind each other, [windows * time] each; targets[i] follows inputs[i].
struct WindowBatch {
  std::span<const Token> inputs;
  std::span<const Token> targets;
  std::size_t windows = 0;
  std::size_t time = 0;  ///< at most the shape's context
};

/// Dropout on the embeddings and on what each sublayer adds to the residual stream. The mask of a pass is a
/// function of (seed, pass), so a resumed run draws the same.
struct Dropout {
  float rate = 0;
  std::uint64_t seed = 0;
  std::uint64_t pass = 0;  ///< a number that no other pass of the run has
};

/// One shape's buffers and passes. The results' bits depend on neither the pool's threads nor on what was
/// computed before. Not thread-safe. Memory grows with windows_max * context; it is allocated by the
/// constructor (std::bad_alloc).
class Network {
 public:
  Network(const ModelShape& shape, std::size_t windows_max, ThreadPool& pool);

  /// Bytes that the constructor would allocate, the scratch of single products not counted.
  static std::uint64_t buffer_bytes(const ModelShape& shape, std::size_t windows_max);

  const ModelShape& shape() const { return shape_; }
  const ParameterLayout& layout() const { return layout_; }

  /// Adds to `gradients` those of (mean loss of the batch) * scale; returns the mean loss. Both arrays as
  /// layout() has them.
  double backward(const float* parameters, const WindowBatch& batch, float scale, const Dropout& dropout,
                  float* gradients);

  /// Mean loss in nats per token, without dropout.
  double loss(const float* parameters, const WindowBatch& batch);

  /// logits [inputs.size(), vocab] of one window.
  void logits(const float* parameters, std::span<const Token> inputs, float* out);

 private:
  struct LayerBuffers {                     // all of rows = windows * time
    AlignedBuffer<float> x_in;              // [rows, width]
    AlignedBuffer<float> normed1;           // [rows, width]
    AlignedBuffer<float> means1, factors1;  // [rows]
    AlignedBuffer<float> qkv;               // [rows, qkv_width], rotated
    AlignedBuffer<float> log_sums;          // [windows, heads, time]
    AlignedBuffer<float> attended;          // [rows, width]
    AlignedBuffer<float> x_mid;             // [rows, width]
    AlignedBuffer<float> normed2;           // [rows, width]
    AlignedBuffer<float> means2, factors2;  // [rows]
    AlignedBuffer<float> up;                // [rows, up_width]
    AlignedBuffer<float> activated;         // [rows, ffn]
  };
  struct Pass {
    const float* parameters;
    float* gradients;  // null in a forward pass
    std::size_t windows, time, rows;
    Dropout dropout;
  };

  void begin(const Pass& pass, std::span<const Token> inputs);
  void layer_forward(const Pass& pass, std::size_t layer, float* x_out);
  void layer_backward(const Pass& pass, std::size_t layer);
  void embedding_backward(const Pass& pass, std::span<const Token> inputs);
  void forward(const Pass& pass, std::span<const Token> inputs);
  double head(const Pass& pass, std::span<const Token> targets, float scale);

  void norm(const Pass& pass, const float* x, std::size_t weight, std::size_t bias, float* out, float* means,
            float* factors);
  void norm_backward(const Pass& pass, const float* x, std::size_t weight, std::size_t bias,
                     const float* means, const float* factors, const float* d_out);
  void linear(const Pass& pass, const float* x, std::size_t in, std::size_t weight, std::size_t bias,
              std::size_t out_width, float* out);
  void linear_backward(const Pass& pass, const float* x, std::size_t in, std::size_t weight, std::size_t bias,
                       std::size_t out_width, const float* d_out, float* d_x);
  void join_residual(const Pass& pass, const float* x, std::size_t site, float* y);
  const float* residual_gradient(const Pass& pass, std::size_t site);
  void turn(const Pass& pass, float* qkv, const float* sines);
  TrainAttentionShape attention_shape(const Pass& pass) const;

  ModelShape shape_;
  ParameterLayout layout_;
  ThreadPool& pool_;
  GemmScratch gemm_;
  TrainAttentionScratch attention_;
  std::vector<LayerBuffers> layers_;
  AlignedBuffer<float> x_last_, normed_, means_, factors_;       // [rows, width], [rows]
  AlignedBuffer<float> logits_;                                  // [head_rows, vocab]
  AlignedBuffer<float> losses_;                                  // [rows]
  AlignedBuffer<float> d_x_, d_masked_, d_narrow_, d_attended_;  // [rows, width]
  AlignedBuffer<float> d_wide_;                                  // [rows, max(qkv_width, up_width)]
  AlignedBuffer<float> d_activated_;                             // [rows, ffn]
  AlignedBuffer<float> cosines_, sines_, minus_sines_;           // [context, head_dim / 2]
};

}  // namespace troupe::train
