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

struct Norm {
  AlignedBuffer<float> weight;  // [width]
  AlignedBuffer<float> bias;    // [width]; empty for an rms norm
};

struct LayerWeights {
  Norm attention_norm;
  Linear query;             // [heads * head_dim, width]
  Linear key;               // [kv_heads * head_dim, width]
  Linear value;             // [kv_heads * head_dim, width]
  Linear attention_output;  // [width, heads * head_dim]
  Norm ffn_norm;
  Linear ffn_gate;  // [ffn_width, width]; empty without a gate
  Linear ffn_up;    // [ffn_width, width]
  Linear ffn_down;  // [width, ffn_width]
};

struct Weights {
  PackedMatrix embedding;            // [vocab, width]: read row by row; also the output when that is tied
  PackedMatrix positions;            // [context, width]: read row by row; empty with rotary positions
  std::vector<LayerWeights> layers;  // [layers]
  Norm output_norm;
  PackedMatrix output;  // [vocab, width]; empty (0 rows) when tied to the embedding

  const PackedMatrix& output_matrix() const { return output.rows() != 0 ? output : embedding; }
};

/// Bytes that load_weights() would allocate.
std::uint64_t weight_bytes(const Checkpoint& checkpoint);

/// Repacks every tensor on the pool. progress(share) is called after each layer; false gives up (cancelled).
/// Errors: bad_file (missing tensor, wrong shape; named), unsupported (type without kernel, or a tensor that
/// this architecture does not have: ignoring one would silently compute another model).
Result<Weights> load_weights(const Checkpoint& checkpoint, const ModelConfig& config, ThreadPool& pool,
                             const std::function<bool(double)>& progress);

}  // namespace troupe
