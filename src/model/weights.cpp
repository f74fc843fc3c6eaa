#include "model/weights.hpp"

#include <cmath>
#include <cstring>
#include <set>

#include "base/try.hpp"

namespace troupe {
namespace {

std::string shape_text(const std::vector<std::uint64_t>& dims) {
  std::string text = "[";
  for (std::size_t i = 0; i < dims.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(dims[i]);
  return text + "]";
}

// Tables that some converters write and that the configuration determines anyway.
bool derivable(const std::string& name) {
  return name == "rope_freqs.weight" || name.ends_with(".attn_rot_embd.weight") ||
         name.ends_with(".rope_freqs.weight");
}

class Loader {
 public:
  Loader(const Checkpoint& checkpoint, ThreadPool& pool) : checkpoint_(checkpoint), pool_(pool) {}

  Result<PackedMatrix> matrix(const std::string& name, std::uint64_t rows, std::uint64_t cols) {
    TROUPE_TRY(const TensorView* tensor, find(name, {rows, cols}));
    const TensorTypeInfo type = tensor_type_info(tensor->type);
    if (!matmul_supports(tensor->type)) {
      return Error{
          Errc::unsupported,
          "tensor " + name + " has type " + std::string(type.name) + ", for which there is no kernel", 0};
    }
    if (cols % type.block_elements != 0) {
      return Error{Errc::bad_file,
                   "tensor " + name + " has rows of " + std::to_string(cols) +
                       " elements, no multiple of the " + std::string(type.name) + " block of " +
                       std::to_string(type.block_elements),
                   0};
    }
    return PackedMatrix::pack(tensor->type, rows, cols, tensor->data, pool_);
  }

  Result<Linear> linear(const std::string& stem, std::uint64_t rows, std::uint64_t cols) {
    Linear linear;
    TROUPE_TRY(linear.weight, matrix(stem + ".weight", rows, cols));
    if (checkpoint_.find(stem + ".bias") != nullptr) {
      TROUPE_TRY(linear.bias, vector(stem + ".bias", rows));
    }
    return linear;
  }

  Result<AlignedBuffer<float>> vector(const std::string& name, std::uint64_t size) {
    TROUPE_TRY(const TensorView* tensor, find(name, {size}));
    if (tensor->type != TensorType::f32) {
      return Error{Errc::unsupported,
                   "tensor " + name + " has type " + std::string(tensor_type_info(tensor->type).name) +
                       "; norms and biases are supported in F32",
                   0};
    }
    AlignedBuffer<float> values(size);
    std::memcpy(values.data(), tensor->data.data(), size * sizeof(float));
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
                   "tensor " + name + " is " + shape_text(tensor->dims) + "; expected " + shape_text(dims),
                   0};
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
  TROUPE_TRY(layer.attention_norm, loader.vector(prefix + "attn_norm.weight", config.width));
  TROUPE_TRY(layer.query, loader.linear(prefix + "attn_q", config.q_width(), config.width));
  TROUPE_TRY(layer.key, loader.linear(prefix + "attn_k", config.kv_width(), config.width));
  TROUPE_TRY(layer.value, loader.linear(prefix + "attn_v", config.kv_width(), config.width));
  TROUPE_TRY(layer.attention_output, loader.linear(prefix + "attn_output", config.width, config.q_width()));
  TROUPE_TRY(layer.ffn_norm, loader.vector(prefix + "ffn_norm.weight", config.width));
  TROUPE_TRY(layer.ffn_gate, loader.linear(prefix + "ffn_gate", config.ffn_width, config.width));
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
                 config.architecture + ".block_count is " + std::to_string(config.layers) +
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
  if (!report(0)) return given_up;
  weights.layers.reserve(config.layers);
  for (std::uint32_t i = 0; i < config.layers; ++i) {
    TROUPE_TRY(auto layer, load_layer(loader, config, i));
    weights.layers.push_back(std::move(layer));
    if (!report(i + 1)) return given_up;
  }
  TROUPE_TRY(weights.output_norm, loader.vector("output_norm.weight", config.width));
  if (loader.has("output.weight")) {
    TROUPE_TRY(weights.output, loader.matrix("output.weight", config.vocab_size, config.width));
  }
  TROUPE_TRY_STATUS(loader.all_used());
  if (progress && !progress(1.0)) return given_up;
  return weights;
}

}  // namespace troupe
