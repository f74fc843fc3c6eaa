#pragma once
// The forward pass of a batch: rows of many sequences through all layers.

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

#include "kernels/attention.hpp"
#include "kernels/matmul.hpp"
#include "model/kv_cache.hpp"
#include "model/logits.hpp"
#include "model/model_parts.hpp"
#include "model/step_batch.hpp"

namespace troupe {

/// Runs steps of one model over one KV cache. Holds the scratch memory, which grows to the largest batch.
/// One owner, one thread at a time; the pool must not be in use by others meanwhile. A row's logits have the
/// same bits whatever else is in its batch, however its prompt was cut into steps, on any number of threads.
class Forward {
 public:
  /// No sequence has more than `context_tokens` positions: where a model rotates differently in long
  /// contexts, that decides, so that all positions of a sequence are rotated alike.
  Forward(const ModelParts& model, KvCache& cache, ThreadPool& pool, std::size_t context_tokens);

  /// Computes all rows, appends their keys and values to the cache and writes the logits of the rows that
  /// want them, and lists the largest of those. Preconditions (checked, abort): tokens within the vocabulary,
  /// sequences open, positions continue their sequence and, where they are learned, lie within the model's
  /// table. Throws std::bad_alloc only.
  void run(const StepBatch& batch, LogitsBlock& logits);

 private:
  void embed(const StepBatch& batch);
  void set_positions(const StepBatch& batch);
  void attend(const StepBatch& batch, std::size_t layer);
  void place_row(const StepRow& row, std::size_t r, std::size_t layer);
  void feed_forward(const LayerWeights& layer);
  void compute_logits(const StepBatch& batch, LogitsBlock& logits);

  /// The angles of one kind of layer.
  struct Rotation {
    const std::vector<double>* frequencies = nullptr;  // [rope_dim / 2]
    float magnitude = 1;
    AlignedBuffer<float> cosines;  // [rows, rope_dim / 2]
    AlignedBuffer<float> sines;    // [rows, rope_dim / 2]
  };
  void set_angles(Rotation& rotation, std::size_t row, std::uint32_t position);

  struct LinearTarget {
    const Linear& linear;
    float* y;
  };
  /// Whether a block sees what the one before it has put out.
  enum class Outputs { taken, left };
  void multiply_input(const Norm& norm, Outputs outputs, std::initializer_list<LinearTarget> targets);
  void multiply_output(const Linear& linear, const Norm& post_norm, AlignedBuffer<float>& out);
  void multiply(std::initializer_list<LinearTarget> targets);
  void take_outputs(std::size_t r);
  void normalise(const float* x, const Norm& norm, float* out) const;
  void normalise_heads(float* x, const Norm& norm, std::size_t heads) const;
  static void add_bias(const Linear& linear, float* y);
  void finish_logits(LogitsBlock& logits);

  const ModelParts& model_;
  const ModelConfig& config_;
  KvCache& cache_;
  ThreadPool& pool_;

  std::size_t rows_ = 0;  // of the step in progress
  Activations activations_;
  AlignedBuffer<float> x_;         // [rows, width]: the residual stream
  AlignedBuffer<float> h_;         // [rows, width]: normalised input or output of a block
  AlignedBuffer<float> beside_;    // [rows, width]: attention's output where ffn sees its input
  AlignedBuffer<float> q_;         // [rows, heads * head_dim]
  AlignedBuffer<float> k_;         // [rows, kv_heads * head_dim]
  AlignedBuffer<float> v_;         // [rows, kv_heads * head_dim]
  AlignedBuffer<float> attended_;  // [rows, heads * head_dim]
  AlignedBuffer<float> gate_;      // [rows, ffn_width]: unused without a gate
  AlignedBuffer<float> up_;        // [rows, ffn_width]
  AlignedBuffer<float> last_;      // [rows that want logits, width]: the output matrix's input
  /// What blocks have put out and x does not have yet.
  struct BlockOutput {
    const Linear* linear;
    const Norm* post_norm;
    float* values;  // [rows, width]: of the product alone
  };
  std::array<BlockOutput, 2> outputs_ = {};
  std::size_t outputs_count_ = 0;
  Rotation full_rotation_;                    // of layers that see everything
  Rotation windowed_rotation_;                // of layers with a sliding window
  std::vector<AttentionRow> attention_rows_;  // [rows]
  AttentionScratch attention_scratch_;
  std::vector<const std::byte*> page_table_;   // pages of the step's sequences, one after the other
  std::vector<std::size_t> page_table_start_;  // [rows]: where the row's sequence begins in page_table_
  std::vector<std::size_t> pages_count_;       // [rows]: how many pages its sequence has
  std::vector<std::size_t> logits_rows_;       // those that want logits
  std::vector<std::size_t> top_counts_;        // [rows that want logits]
  TopLogits top_logits_;
};

}  // namespace troupe
