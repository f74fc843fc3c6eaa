#include "model/weights.hpp"

#include <cmath>
#include <cstring>
#include <set>

#include "base/try.hpp"

namespace troupe {
namespace {

// Tables that some converters write and that the configuration determines anyway.
bool derivable(const std::string& name) {
  return name == "rope_freqs.weight" || name.ends_with(".attn_rot_embd.weight") ||
         name.ends_with(".rope_freqs.weight");
}

// The types that there are kernels for, as people spell them.
std::string supported_types() {
  std::string text;
  for (const TensorType type : matmul_types()) {
    text += (text.empty() ? "" : ", ") + std::string(tensor_type_info(type).name);
  }
  return text;
}

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, ThreadPool& pool) : checkpoint_(checkpoint), pool_(pool) {}

  Result<PackedMatrix> matrix(const std::string& name, std::uint64_t rows, std::uint64_t cols) {
    return matrix_rows(name, rows, cols, 0, rows);
  }

  /// Rows `first` to `first + count` of the matrix `name`.
  Result<PackedMatrix> matrix_rows(const std::string& name, std::uint64_t rows, std::uint64_t cols,
                                   std::uint64_t first, std::uint64_t count) {
    TROUPE_TRY(const TensorView* tensor, find(name, {rows, cols}));
    const TensorTypeInfo type = tensor_type_info(tensor->type);
    if (!matmul_supports(tensor->type)) {
      return Error{
          Errc::unsupported,
          "tensor " + name + " has type " + std::string(type.name) + "; supported: " + supported_types(), 0};
    }
    if (cols % type.block_elements != 0) {
      return Error{Errc::bad_file,
                   "tensor " + name + " has rows of " + std::to_string(cols) +
                       " elements, no multiple of the " + std::string(type.name) + " block of " +
                       std::to_string(type.block_elements),
                   0};
    }
    const std::uint64_t row_bytes = cols / type.block_elements * type.block_bytes;
    return PackedMatrix::pack(tensor->type, count, cols,
                              tensor->data.subspan(first * row_bytes, count * row_bytes), pool_);
  }

  Result<Linear> linear(const std::string& stem, std::uint64_t rows, std::uint64_t cols) {
    Linear linear;
    TROUPE_TRY(linear.weight, matrix(stem + ".weight", rows, cols));
    if (checkpoint_.find(stem + ".bias") != nullptr) {
      TROUPE_TRY(linear.bias, vector(stem + ".bias", rows));
    }
    return linear;
  }

  /// Query, key and value, whose rows lie in this order in one tensor.
  Status fused_qkv(const std::string& stem, const ModelConfig& config, LayerWeights& layer) {
    const std::uint64_t rows = config.q_width() + 2 * std::uint64_t{config.kv_width()};
    const bool has_bias = checkpoint_.find(stem + ".bias") != nullptr;
    std::uint64_t first = 0;
    const auto take = [&](Linear& linear, std::uint64_t count) -> Status {
      TROUPE_TRY(linear.weight, matrix_rows(stem + ".weight", rows, config.width, first, count));
      if (has_bias) {
        TROUPE_TRY(linear.bias, vector_part(stem + ".bias", rows, first, count));
      }
      first += count;
      return {};
    };
    TROUPE_TRY_STATUS(take(layer.query, config.q_width()));
    TROUPE_TRY_STATUS(take(layer.key, config.kv_width()));
    return take(layer.value, config.kv_width());
  }

  Result<Norm> norm(const std::string& stem, const ModelConfig& config) {
    Norm norm;
    TROUPE_TRY(norm.weight, vector(stem + ".weight", config.width));
    if (config.architecture.norm == NormKind::layer) {
      TROUPE_TRY(norm.bias, vector(stem + ".bias", config.width));
    }
    return norm;
  }

  Result<AlignedBuffer<float>> vector(const std::string& name, std::uint64_t size) {
    return vector_part(name, size, 0, size);
  }

  /// Elements `first` to `first + count` of the vector `name`.
  Result<AlignedBuffer<float>> vector_part(const std::string& name, std::uint64_t size, std::uint64_t first,
                                           std::uint64_t count) {
    TROUPE_TRY(const TensorView* tensor, find(name, {size}));
    if (tensor->type != TensorType::f32) {
      return Error{Errc::unsupported,
                   "tensor " + name + " has type " + std::string(tensor_type_info(tensor->type).name) +
                       "; norms and biases are supported in F32",
                   0};
    }
    AlignedBuffer<float> values(count);
    std::memcpy(values.data(), tensor->data.data() + first * sizeof(float), count * sizeof(float));
    return values;
  }

  bool has(const std::string& name) const { return checkpoint_.find(name) != nullptr; }

  /// After everything was loaded: a tensor that nobody asked for.
  Status all_used() const {
    for (const TensorView& tensor : checkpoint_.tensors) {
      if (used_.count(tensor.name) == 0 && !derivable(tensor.name)) {
        return Error{Errc::unsupported, "tensor " + tensor.name + " is not part of this architecture", 0};
      }
    }
    return {};
  }

 private:
  Result<const TensorView*> find(const std::string& name, const std::vector<std::uint64_t>& dims) {
    const TensorView* tensor = checkpoint_.find(name);
    if (tensor == nullptr) return Error{Errc::bad_file, "tensor " + name + " is missing", 0};
    if (tensor->dims != dims) {
      return Error{Errc::bad_file,
                   "tensor " + name + " is " + dims_text(tensor->dims) + "; expected " + dims_text(dims), 0};
    }
    used_.insert(name);
    return tensor;
  }

  const Checkpoint& checkpoint_;
  ThreadPool& pool_;
  std::set<std::string> used_;
};

Result<LayerWeights> load_layer(Loader& loader, const ModelConfig& config, std::uint32_t index) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  LayerWeights layer;
  TROUPE_TRY(layer.attention_norm, loader.norm(prefix + "attn_norm", config));
  if (config.architecture.fused_qkv) {
    TROUPE_TRY_STATUS(loader.fused_qkv(prefix + "attn_qkv", config, layer));
  } else {
    TROUPE_TRY(layer.query, loader.linear(prefix + "attn_q", config.q_width(), config.width));
    TROUPE_TRY(layer.key, loader.linear(prefix + "attn_k", config.kv_width(), config.width));
    TROUPE_TRY(layer.value, loader.linear(prefix + "attn_v", config.kv_width(), config.width));
  }
  TROUPE_TRY(layer.attention_output, loader.linear(prefix + "attn_output", config.width, config.q_width()));
  TROUPE_TRY(layer.ffn_norm, loader.norm(prefix + "ffn_norm", config));
  if (config.architecture.feed_forward == FeedForwardKind::silu_gated) {
    TROUPE_TRY(layer.ffn_gate, loader.linear(prefix + "ffn_gate", config.ffn_width, config.width));
  }
  TROUPE_TRY(layer.ffn_up, loader.linear(prefix + "ffn_up", config.ffn_width, config.width));
  TROUPE_TRY(layer.ffn_down, loader.linear(prefix + "ffn_down", config.width, config.ffn_width));
  return layer;
}

}  // namespace

std::uint64_t weight_bytes(const Checkpoint& checkpoint) {
  std::uint64_t bytes = 0;
  for (const TensorView& tensor : checkpoint.tensors) {
    const bool packed = tensor.dims.size() == 2 && matmul_supports(tensor.type);
    bytes +=
        packed ? PackedMatrix::packed_bytes(tensor.type, tensor.dims[0], tensor.dims[1]) : tensor.data.size();
  }
  return bytes;
}

Result<Weights> load_weights(const Checkpoint& checkpoint, const ModelConfig& config, ThreadPool& pool,
                             const std::function<bool(double)>& progress) {
  // A layer has at least one tensor, so a claimed layer count beyond the tensors is refused before anything
  // is reserved for it.
  if (config.layers > checkpoint.tensors.size()) {
    return Error{Errc::bad_file,
                 std::string(config.architecture.name) + ".block_count is " + std::to_string(config.layers) +
                     ", but the file has only " + std::to_string(checkpoint.tensors.size()) + " tensors",
                 0};
  }
  Loader loader(checkpoint, pool);
  const auto report = [&](std::uint32_t layers_done) {
    return !progress || progress(static_cast<double>(layers_done + 1) / (config.layers + 2));
  };
  const Error given_up{Errc::cancelled, "loading was cancelled", 0};

  Weights weights;
  TROUPE_TRY(weights.embedding, loader.matrix("token_embd.weight", config.vocab_size, config.width));
  if (config.architecture.positions == PositionKind::learned) {
    TROUPE_TRY(weights.positions, loader.matrix("position_embd.weight", config.context_tokens, config.width));
  }
  if (!report(0)) return given_up;
  weights.layers.reserve(config.layers);
  for (std::uint32_t i = 0; i < config.layers; ++i) {
    TROUPE_TRY(auto layer, load_layer(loader, config, i));
    weights.layers.push_back(std::move(layer));
    if (!report(i + 1)) return given_up;
  }
  TROUPE_TRY(weights.output_norm, loader.norm("output_norm", config));
  if (loader.has("output.weight")) {
    TROUPE_TRY(weights.output, loader.matrix("output.weight", config.vocab_size, config.width));
  }
  TROUPE_TRY_STATUS(loader.all_used());
  if (progress && !progress(1.0)) return given_up;
  return weights;
}

}  // namespace troupe
