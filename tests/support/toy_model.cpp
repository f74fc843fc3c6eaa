#include "support/toy_model.hpp"

#include <cmath>
#include <cstdio>
#include <vector>

#include "base/check.hpp"
#include "support/tensor_maker.hpp"

namespace troupe::test {

void add_toy_vocabulary(Metadata& metadata) {
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
  add_toy_vocabulary(metadata);
  const std::uint64_t vocab = toy_vocab;

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
