#include "support/toy_model.hpp"

#include <cmath>
#include <cstdio>
#include <deque>
#include <vector>

#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/quantize.hpp"
#include "kernels/samples.hpp"

namespace troupe::test {
namespace {

/// Adds tensors with random normal-like values; keeps their bytes.
class TensorMaker {
 public:
  TensorMaker(Checkpoint& checkpoint, std::uint64_t seed) : checkpoint_(checkpoint), seed_(seed) {}

  void add(std::string name, TensorType type, std::vector<std::uint64_t> dims, float deviation,
           float mean = 0) {
    TensorView tensor;
    tensor.name = std::move(name);
    tensor.type = type;
    tensor.dims = std::move(dims);
    const std::size_t cols = tensor.dims.back();
    const std::size_t rows = tensor.elements() / cols;
    const std::size_t row_bytes = encoded_bytes(type, cols);
    std::vector<std::byte>& bytes = buffers_->emplace_back(rows * row_bytes);
    if (!encoding_supported(type)) {
      Samples samples(seed_ * 1000 + counter_++);
      bytes = random_blocks(type, rows * cols, deviation * scale_of(type), samples);
      tensor.data = bytes;
      checkpoint_.tensors.push_back(std::move(tensor));
      return;
    }
    std::vector<float> row(cols);
    for (std::size_t r = 0; r < rows; ++r) {
      for (float& value : row) {
        // Sum of three uniforms: near enough to normal, variance 1/4.
        const double sum = draw() + draw() + draw() - 1.5;
        value = mean + deviation * static_cast<float>(2 * sum);
      }
      encode_row(type, row, std::span(bytes).subspan(r * row_bytes, row_bytes));
    }
    tensor.data = bytes;
    checkpoint_.tensors.push_back(std::move(tensor));
  }

  std::shared_ptr<const void> storage() const { return buffers_; }

 private:
  double draw() { return uniform_at(seed_, counter_++); }

  /// With random codes under an f16 of about this, weights deviate by about 1.
  static float scale_of(TensorType type) {
    switch (type) {
      case TensorType::q2_k: return 1 / 12.0F;
      case TensorType::q3_k: return 1 / 40.0F;
      case TensorType::iq4_xs: return 1 / 1000.0F;
      default: return 1 / 64.0F;
    }
  }

  Checkpoint& checkpoint_;
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
  std::shared_ptr<std::deque<std::vector<std::byte>>> buffers_ =
      std::make_shared<std::deque<std::vector<std::byte>>>();
};

void add_vocabulary(Metadata& metadata) {
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
  std::vector<std::int64_t> types{2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    char spelling[8];
    std::snprintf(spelling, sizeof spelling, "<0x%02X>", static_cast<unsigned>(byte));
    tokens.emplace_back(spelling);
    types.push_back(6);
  }
  for (char letter = 'a'; letter <= 'z'; ++letter) {
    tokens.emplace_back(1, letter);
    types.push_back(1);
  }
  std::vector<double> scores(tokens.size(), 0.0);
  metadata.insert("tokenizer.ggml.model", std::string("llama"));
  metadata.insert("tokenizer.ggml.tokens", std::move(tokens));
  metadata.insert("tokenizer.ggml.scores", std::move(scores));
  metadata.insert("tokenizer.ggml.token_type", std::move(types));
  metadata.insert("tokenizer.ggml.bos_token_id", std::uint64_t{1});
  metadata.insert("tokenizer.ggml.eos_token_id", std::uint64_t{2});
  metadata.insert("tokenizer.ggml.unknown_token_id", std::uint64_t{0});
}

}  // namespace

Checkpoint toy_checkpoint(const ToyShape& shape) {
  Checkpoint checkpoint;
  checkpoint.format = "toy";
  Metadata& metadata = checkpoint.metadata;
  metadata.insert("general.architecture", std::string("llama"));
  metadata.insert("general.name", std::string("toy"));
  metadata.insert("llama.block_count", std::uint64_t{shape.layers});
  metadata.insert("llama.embedding_length", std::uint64_t{shape.width});
  metadata.insert("llama.attention.head_count", std::uint64_t{shape.heads});
  metadata.insert("llama.attention.head_count_kv", std::uint64_t{shape.kv_heads});
  metadata.insert("llama.feed_forward_length", std::uint64_t{shape.ffn_width});
  metadata.insert("llama.context_length", std::uint64_t{shape.context_tokens});
  metadata.insert("llama.attention.layer_norm_rms_epsilon", 1e-5);
  add_vocabulary(metadata);
  const std::uint64_t vocab = 3 + 256 + 26;

  TensorMaker make(checkpoint, shape.seed);
  const auto width = std::uint64_t{shape.width};
  const auto kv_width = width / shape.heads * shape.kv_heads;
  const auto scaled = [](std::uint64_t inputs) {
    return static_cast<float>(1 / std::sqrt(static_cast<double>(inputs)));
  };
  make.add("token_embd.weight", shape.type, {vocab, width}, 1.0F);
  for (std::uint32_t i = 0; i < shape.layers; ++i) {
    const std::string prefix = "blk." + std::to_string(i) + ".";
    make.add(prefix + "attn_norm.weight", TensorType::f32, {width}, 0.1F, 1.0F);
    make.add(prefix + "attn_q.weight", shape.type, {width, width}, scaled(width));
    make.add(prefix + "attn_k.weight", shape.type, {kv_width, width}, scaled(width));
    make.add(prefix + "attn_v.weight", shape.type, {kv_width, width}, scaled(width));
    make.add(prefix + "attn_output.weight", shape.type, {width, width}, scaled(width));
    make.add(prefix + "ffn_norm.weight", TensorType::f32, {width}, 0.1F, 1.0F);
    make.add(prefix + "ffn_gate.weight", shape.type, {shape.ffn_width, width}, scaled(width));
    make.add(prefix + "ffn_up.weight", shape.type, {shape.ffn_width, width}, scaled(width));
    make.add(prefix + "ffn_down.weight", shape.type, {width, shape.ffn_width}, scaled(shape.ffn_width));
  }
  make.add("output_norm.weight", TensorType::f32, {width}, 0.1F, 1.0F);
  if (!shape.tied_output) make.add("output.weight", shape.type, {vocab, width}, 3 * scaled(width));
  checkpoint.storage = make.storage();
  std::string duplicate;
  TROUPE_CHECK(checkpoint.build_index(duplicate));
  return checkpoint;
}

std::shared_ptr<const Model> toy_model(const ToyShape& shape) {
  auto model = load_model(toy_checkpoint(shape), "toy", {}, {});
  TROUPE_CHECK(model.ok());
  return *model;
}

}  // namespace troupe::test
