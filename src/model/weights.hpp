#pragma once
// The weights of a model, packed for the kernels. Immutable after loading.

#include <cstdint>
#include <functional>
#include <vector>

#include "formats/checkpoint.hpp"
#include "kernels/aligned.hpp"
#include "kernels/matmul.hpp"
#include "model/config.hpp"
#include "troupe/error.hpp"

namespace troupe {

/// y = x Wᵀ + b.
struct Linear {
  PackedMatrix weight;        // [out, in]
  AlignedBuffer<float> bias;  // [out], or empty
};

/// Both empty where the architecture has no such norm.
struct Norm {
  AlignedBuffer<float> weight;  // [width], or what it is the norm of; a row for each head, or one for all
  AlignedBuffer<float> bias;    // one row; empty for an rms norm

  bool present() const { return weight.size() != 0; }
};

struct LayerWeights {
  Norm attention_norm;
  Linear query;             // [heads * head_dim, width]
  Linear key;               // [kv_heads * head_dim, width]
  Linear value;             // [kv_heads * head_dim, width]
  Norm query_norm;          // [head_dim] or [heads * head_dim], as the QkNorm says
  Norm key_norm;            // [head_dim] or [kv_heads * head_dim]
  Linear attention_output;  // [width, heads * head_dim]
  Norm attention_post_norm;
  Norm ffn_norm;    // absent in a parallel layer whose blocks share attention_norm
  Linear ffn_gate;  // [ffn_width, width]; empty without a gate
  Linear ffn_up;    // [ffn_width, width]
  Linear ffn_down;  // [width, ffn_width]
  Norm ffn_post_norm;
};

struct Weights {
  PackedMatrix embedding;            // [vocab, width]: read row by row; also the output when that is tied
  PackedMatrix positions;            // [context, width]: read row by row; empty with rotary positions
  std::vector<LayerWeights> layers;  // [layers]
  Norm output_norm;
  PackedMatrix output;               // [vocab, width]; empty (0 rows) when tied to the embedding
  AlignedBuffer<float> output_bias;  // [vocab], or empty

  const PackedMatrix& output_matrix() const { return output.rows() != 0 ? output : embedding; }
};

/// Whether the checkpoint has just the tensors that it should, in shapes and types that it should: all that
/// load_weights() refuses is refused here, at once. Returns the bytes that load_weights() will allocate.
/// Errors: bad_file (missing tensor, wrong shape; named), unsupported (type without kernel, or a tensor that
/// this architecture does not have: ignoring one would silently compute another model).
Result<std::uint64_t> check_weights(const Checkpoint& checkpoint, const ModelConfig& config);

/// Repacks every tensor on the pool; check_weights() must have been content. The bytes of the checkpoint are
/// let go of tensor by tensor (Checkpoint::let_go), the largest first, so that no more of them than one
/// tensor's are in memory beside the weights. progress(share) is called after each layer; false gives up
/// (cancelled).
Result<Weights> load_weights(const Checkpoint& checkpoint, const ModelConfig& config, ThreadPool& pool,
                             const std::function<bool(double)>& progress);

}  // namespace troupe
