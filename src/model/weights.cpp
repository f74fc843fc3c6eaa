#include "model/weights.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "base/try.hpp"

namespace troupe {
namespace {

// Tables that are read by the configuration, or that it determines anyway.
bool is_table(const std::string& name) {
  return is_rope_tensor(name) || name.ends_with(".attn_rot_embd.weight") ||
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

template <class T>
Status status_of(Result<T> result) {
  return result ? Status() : Status(std::move(result).error());
}

/// Finds, checks and packs tensors. Without a pool it only checks, counts their bytes and returns empty ones.
class Loader {
 public:
  Loader(const Checkpoint& checkpoint, ThreadPool* pool) : checkpoint_(checkpoint), pool_(pool) {}

  /// What the tensors so far take in memory.
  std::uint64_t bytes() const { return bytes_; }

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
    const auto data = tensor->data.subspan(first * row_bytes, count * row_bytes);
    bytes_ += PackedMatrix::packed_bytes(tensor->type, count, cols);
    if (pool_ == nullptr) return PackedMatrix();
    PackedMatrix packed = PackedMatrix::pack(tensor->type, count, cols, data, *pool_);
    if (checkpoint_.let_go) checkpoint_.let_go(data);
    return packed;
  }

  Result<Linear> linear(const std::string& stem, std::uint64_t rows, std::uint64_t cols) {
    return linear_rows(stem, rows, cols, 0, rows);
  }

  /// Rows `first` to `first + count` of the matrix and, where there is one, of the bias.
  Result<Linear> linear_rows(const std::string& stem, std::uint64_t rows, std::uint64_t cols,
                             std::uint64_t first, std::uint64_t count) {
    Linear linear;
    TROUPE_TRY(linear.weight, matrix_rows(stem + ".weight", rows, cols, first, count));
    if (has(stem + ".bias")) {
      TROUPE_TRY(linear.bias, vector_part(stem + ".bias", rows, first, count));
    }
    return linear;
  }

  /// A norm over `size` elements, of the architecture's kind.
  Result<Norm> norm(const std::string& stem, std::uint64_t size, NormKind kind) {
    Norm norm;
    if (kind == NormKind::layer_bare) {
      fill(norm.weight, size, 1);
    } else {
      TROUPE_TRY(norm.weight, vector(stem + ".weight", size));
    }
    if (kind == NormKind::layer) {
      TROUPE_TRY(norm.bias, vector(stem + ".bias", size));
    } else if (kind != NormKind::rms) {
      fill(norm.bias, size, 0);
    }
    return norm;
  }

  /// Layer norms without biases, one for each of `heads`.
  Result<Norm> head_norms(const std::string& stem, std::uint64_t heads, std::uint64_t head_dim) {
    Norm norm;
    TROUPE_TRY(norm.weight, numbers(stem + ".weight", {heads, head_dim}, 0, heads * head_dim));
    fill(norm.bias, head_dim, 0);
    return norm;
  }

  Result<AlignedBuffer<float>> vector(const std::string& name, std::uint64_t size) {
    return vector_part(name, size, 0, size);
  }

  /// Elements `first` to `first + count` of the vector `name`.
  Result<AlignedBuffer<float>> vector_part(const std::string& name, std::uint64_t size, std::uint64_t first,
                                           std::uint64_t count) {
    return numbers(name, {size}, first, count);
  }

  bool has(const std::string& name) const { return checkpoint_.find(name) != nullptr; }

  /// After everything was loaded: a tensor that nobody asked for.
  Status all_used() const {
    for (const TensorView& tensor : checkpoint_.tensors) {
      if (used_.count(tensor.name) == 0 && !is_table(tensor.name)) {
        return Error{Errc::unsupported, "tensor " + tensor.name + " is not part of this architecture", 0};
      }
    }
    return {};
  }

 private:
  Result<AlignedBuffer<float>> numbers(const std::string& name, const std::vector<std::uint64_t>& dims,
                                       std::uint64_t first, std::uint64_t count) {
    TROUPE_TRY(const TensorView* tensor, find(name, dims));
    if (tensor->type != TensorType::f32) {
      return Error{Errc::unsupported,
                   "tensor " + name + " has type " + std::string(tensor_type_info(tensor->type).name) +
                       "; norms and biases are supported in F32",
                   0};
    }
    bytes_ += count * sizeof(float);
    if (pool_ == nullptr) return AlignedBuffer<float>();
    AlignedBuffer<float> values(count);
    std::memcpy(values.data(), tensor->data.data() + first * sizeof(float), count * sizeof(float));
    return values;
  }

  /// What the file has no tensor for.
  void fill(AlignedBuffer<float>& values, std::uint64_t size, float value) const {
    if (pool_ == nullptr) return;
    values.resize(size);
    std::fill_n(values.data(), size, value);
  }

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
  ThreadPool* pool_;
  std::uint64_t bytes_ = 0;
  std::set<std::string> used_;
};

/// Query, key and value: three tensors, or one that holds their rows in this order.
Status load_qkv(Loader& loader, const ModelConfig& config, const std::string& prefix, LayerWeights& layer) {
  const std::uint64_t q = config.q_width();
  const std::uint64_t kv = config.kv_width();
  const std::string fused = prefix + "attn_qkv";
  const bool apart = loader.has(prefix + "attn_q.weight") || !config.architecture.fused_qkv;
  if (apart && !loader.has(fused + ".weight")) {
    TROUPE_TRY(layer.query, loader.linear(prefix + "attn_q", q, config.width));
    TROUPE_TRY(layer.key, loader.linear(prefix + "attn_k", kv, config.width));
    TROUPE_TRY(layer.value, loader.linear(prefix + "attn_v", kv, config.width));
  } else {
    TROUPE_TRY(layer.query, loader.linear_rows(fused, q + 2 * kv, config.width, 0, q));
    TROUPE_TRY(layer.key, loader.linear_rows(fused, q + 2 * kv, config.width, q, kv));
    TROUPE_TRY(layer.value, loader.linear_rows(fused, q + 2 * kv, config.width, q + kv, kv));
  }
  return {};
}

Status load_qk_norms(Loader& loader, const ModelConfig& config, const std::string& prefix,
                     LayerWeights& layer) {
  const std::string query = prefix + "attn_q_norm", key = prefix + "attn_k_norm";
  const QkNorm kind = config.architecture.qk_norm;
  if (kind == QkNorm::none) return {};
  if (kind == QkNorm::layer_each_head) {
    if (!loader.has(query + ".weight")) return {};
    TROUPE_TRY(layer.query_norm, loader.head_norms(query, config.heads, config.head_dim));
    TROUPE_TRY(layer.key_norm, loader.head_norms(key, config.kv_heads, config.head_dim));
    return {};
  }
  const bool whole = kind == QkNorm::whole;
  TROUPE_TRY(layer.query_norm, loader.norm(query, whole ? config.q_width() : config.head_dim, NormKind::rms));
  TROUPE_TRY(layer.key_norm, loader.norm(key, whole ? config.kv_width() : config.head_dim, NormKind::rms));
  return {};
}

Status load_feed_forward(Loader& loader, const ModelConfig& config, const std::string& prefix,
                         LayerWeights& layer) {
  const std::uint64_t hidden = config.ffn_width;
  const bool gated = is_gated(config.architecture.feed_forward);
  if (gated && config.architecture.fused_gate) {
    const std::string fused = prefix + "ffn_up";
    TROUPE_TRY(layer.ffn_gate, loader.linear_rows(fused, 2 * hidden, config.width, 0, hidden));
    TROUPE_TRY(layer.ffn_up, loader.linear_rows(fused, 2 * hidden, config.width, hidden, hidden));
  } else {
    if (gated) {
      TROUPE_TRY(layer.ffn_gate, loader.linear(prefix + "ffn_gate", hidden, config.width));
    }
    TROUPE_TRY(layer.ffn_up, loader.linear(prefix + "ffn_up", hidden, config.width));
  }
  TROUPE_TRY(layer.ffn_down, loader.linear(prefix + "ffn_down", config.width, hidden));
  return {};
}

Result<LayerWeights> load_layer(Loader& loader, const ModelConfig& config, std::uint32_t index) {
  const Architecture& architecture = config.architecture;
  const std::string prefix = "blk." + std::to_string(index) + ".";
  LayerWeights layer;
  const auto norm = [&](Norm& target, std::string_view name) -> Status {
    TROUPE_TRY(target, loader.norm(prefix + std::string(name), config.width, architecture.norm));
    return {};
  };
  if (architecture.norm_2_for_attention && loader.has(prefix + "attn_norm_2.weight")) {
    TROUPE_TRY_STATUS(norm(layer.attention_norm, "attn_norm_2"));
    TROUPE_TRY_STATUS(norm(layer.ffn_norm, "attn_norm"));
  } else if (architecture.norm_before) {
    TROUPE_TRY_STATUS(norm(layer.attention_norm, "attn_norm"));
    const bool shared = config.parallel && !loader.has(prefix + "ffn_norm.weight");
    if (!shared) TROUPE_TRY_STATUS(norm(layer.ffn_norm, architecture.ffn_norm_name));
  }
  if (architecture.norm_behind) {
    TROUPE_TRY_STATUS(norm(layer.attention_post_norm, "post_attention_norm"));
    TROUPE_TRY_STATUS(norm(layer.ffn_post_norm, "post_ffw_norm"));
  }
  TROUPE_TRY_STATUS(load_qkv(loader, config, prefix, layer));
  TROUPE_TRY_STATUS(load_qk_norms(loader, config, prefix, layer));
  TROUPE_TRY(layer.attention_output, loader.linear(prefix + "attn_output", config.width, config.q_width()));
  TROUPE_TRY_STATUS(load_feed_forward(loader, config, prefix, layer));
  return layer;
}

/// All tensors by the loader; report(layers done) after each layer says whether to go on.
Result<Weights> load_all(Loader& loader, const ModelConfig& config,
                         const std::function<bool(std::uint32_t)>& report) {
  const Error given_up{Errc::cancelled, "loading was cancelled", 0};
  Weights weights;
  TROUPE_TRY(weights.embedding, loader.matrix("token_embd.weight", config.vocab_size, config.width));
  if (config.architecture.positions == PositionKind::learned) {
    TROUPE_TRY(weights.positions, loader.matrix("position_embd.weight", config.context_tokens, config.width));
  }
  if (loader.has("output.weight")) {
    TROUPE_TRY(weights.output, loader.matrix("output.weight", config.vocab_size, config.width));
  }
  if (loader.has("output.bias")) {
    TROUPE_TRY(weights.output_bias, loader.vector("output.bias", config.vocab_size));
  }
  if (!report(0)) return given_up;
  weights.layers.reserve(config.layers);
  for (std::uint32_t i = 0; i < config.layers; ++i) {
    TROUPE_TRY(auto layer, load_layer(loader, config, i));
    weights.layers.push_back(std::move(layer));
    if (!report(i + 1)) return given_up;
  }
  TROUPE_TRY(weights.output_norm, loader.norm("output_norm", config.width, config.architecture.norm));
  TROUPE_TRY_STATUS(loader.all_used());
  return weights;
}

}  // namespace

Result<std::uint64_t> check_weights(const Checkpoint& checkpoint, const ModelConfig& config) {
  // A layer has at least one tensor, so a claimed layer count beyond the tensors is refused before anything
  // is reserved for it.
  if (config.layers > checkpoint.tensors.size()) {
    return Error{Errc::bad_file,
                 std::string(config.architecture.name) + ".block_count is " + std::to_string(config.layers) +
                     ", but the file has only " + std::to_string(checkpoint.tensors.size()) + " tensors",
                 0};
  }
  Loader loader(checkpoint, nullptr);
  TROUPE_TRY_STATUS(status_of(load_all(loader, config, [](std::uint32_t) { return true; })));
  return loader.bytes();
}

Result<Weights> load_weights(const Checkpoint& checkpoint, const ModelConfig& config, ThreadPool& pool,
                             const std::function<bool(double)>& progress) {
  Loader loader(checkpoint, &pool);
  TROUPE_TRY(Weights weights, load_all(loader, config, [&](std::uint32_t layers_done) {
               return !progress || progress(static_cast<double>(layers_done + 1) / (config.layers + 2));
             }));
  if (progress && !progress(1.0)) return Error{Errc::cancelled, "loading was cancelled", 0};
  return weights;
}

}  // namespace troupe
