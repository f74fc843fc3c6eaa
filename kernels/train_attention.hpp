#pragma once
// Causal self-attention over whole windows, forward and backward, for training. The probabilities are not
// kept: the backward pass makes them again from q, k and one number per row.

#include <cstddef>

#include "kernels/aligned.hpp"
#include "kernels/thread_pool.hpp"

namespace troupe {

/// `batch` windows of `time` positions; row b * time + t of every matrix belongs to position t of window b.
/// A row of qkv is q [heads, head_dim], k [kv_heads, head_dim], v [kv_heads, head_dim], in this order.
struct TrainAttentionShape {
  std::size_t batch = 0;
  std::size_t time = 0;
  std::size_t heads = 0;
  std::size_t kv_heads = 0;  ///< divides heads; query head h reads kv head h / (heads / kv_heads)
  std::size_t head_dim = 0;
  float scale = 0;  ///< multiplies q·k

  std::size_t rows() const { return batch * time; }
  std::size_t q_width() const { return heads * head_dim; }
  std::size_t qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }
};

/// Scratch of all workers; reused from call to call. Not thread-safe.
class TrainAttentionScratch {
 public:
  float* prepare(std::size_t floats_per_worker, unsigned workers) {
    buffer_.resize(floats_per_worker * workers);
    return buffer_.data();
  }

 private:
  AlignedBuffer<float> buffer_;
};

/// out [rows, q_width] = softmax(q kᵀ · scale, masked) v for each head. log_sums [batch, heads, time]: the
/// logarithm of each softmax's denominator, for the backward pass. Bits do not depend on the threads.
void train_attention(const TrainAttentionShape& shape, const float* qkv, float* out, float* log_sums,
                     TrainAttentionScratch& scratch, ThreadPool& pool);

/// The gradient: from d_out [rows, q_width] to d_qkv [rows, qkv_width], which is overwritten. qkv, out and
/// log_sums as train_attention() had and made them.
void train_attention_backward(const TrainAttentionShape& shape, const float* qkv, const float* out,
                              const float* log_sums, const float* d_out, float* d_qkv,
                              TrainAttentionScratch& scratch, ThreadPool& pool);

}  // namespace troupe
