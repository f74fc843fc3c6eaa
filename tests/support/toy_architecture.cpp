#include "support/toy_architecture.hpp"

#include "base/check.hpp"
#include "model/architecture.hpp"
#include "support/tensor_maker.hpp"

namespace troupe::test {
namespace {

using Keys = std::vector<std::pair<std::string, MetadataValue>>;

constexpr std::uint64_t width = 64;
constexpr std::uint64_t heads = 4;
constexpr std::uint64_t hidden = 96;

Keys yarn(double factor, std::uint64_t original, Keys more = {}) {
  more.emplace_back("rope.scaling.type", std::string("yarn"));
  more.emplace_back("rope.scaling.factor", factor);
  more.emplace_back("rope.scaling.original_context_length", original);
  return more;
}

std::pair<std::string, MetadataValue> number(const char* name, std::uint64_t value) {
  return {name, value};
}

std::vector<ToyArchitecture> make_list() {
  const auto window = number("attention.sliding_window", 16);
  const auto part = number("rope.dimension_count", 8);
  const std::pair<std::string, MetadataValue> serial{"use_parallel_residual", false};
  std::vector<ToyArchitecture> list{
      {.name = "llama", .architecture = "llama"},
      {.name = "llama, tied", .architecture = "llama", .tied = true},
      {.name = "llama, biases", .architecture = "llama", .qkv_bias = true, .other_biases = true},
      {.name = "llama, one key head", .architecture = "llama", .kv_heads = 1},
      {.name = "llama, heads of 24", .architecture = "llama", .head_dim = 24},
      {.name = "llama, rope_freqs", .architecture = "llama", .rope_tensors = {{"rope_freqs.weight", 8}}},
      {.name = "llama, linear",
       .architecture = "llama",
       .keys = {{"rope.scaling.type", std::string("linear")}, {"rope.scaling.factor", 4.0}}},
      {.name = "llama, linear of old", .architecture = "llama", .keys = {{"rope.scale_linear", 4.0}}},
      {.name = "llama, yarn", .architecture = "llama", .keys = yarn(4, 32)},
      {.name = "llama, yarn and factor",
       .architecture = "llama",
       .keys = yarn(4, 32, {{"rope.scaling.attn_factor", 0.8}})},
      {.name = "mistral3",
       .architecture = "mistral3",
       .keys = yarn(4, 32,
                    {{"rope.scaling.yarn_log_multiplier", 1.0},
                     {"rope.scaling.yarn_beta_fast", 2.0},
                     {"rope.scaling.yarn_beta_slow", 0.5},
                     {"attention.temperature_scale", 0.1}})},
      {.name = "internlm2", .architecture = "internlm2"},
      {.name = "xverse", .architecture = "xverse"},
      {.name = "ernie4_5", .architecture = "ernie4_5"},
      {.name = "granite",
       .architecture = "granite",
       .keys = {{"logit_scale", 4.0},
                {"residual_scale", 0.3},
                {"embedding_scale", 6.0},
                {"attention.scale", 0.05}}},
      {.name = "minicpm",
       .architecture = "minicpm",
       .keys = {{"logit_scale", 4.0}, {"residual_scale", 0.3}, {"embedding_scale", 6.0}}},
      {.name = "minicpm, of old", .architecture = "minicpm", .keys = {{"logit_scale", 4.0}}},
      {.name = "smollm3", .architecture = "smollm3", .layers = 5},
      {.name = "arcee", .architecture = "arcee"},
      {.name = "orion", .architecture = "orion"},
      {.name = "glm4", .architecture = "glm4", .keys = {part}, .qkv_bias = true},
      {.name = "qwen2", .architecture = "qwen2", .qkv_bias = true},
      {.name = "qwen2, yarn", .architecture = "qwen2", .keys = yarn(4, 32), .qkv_bias = true},
      {.name = "qwen2vl",
       .architecture = "qwen2vl",
       .keys = {{"rope.dimension_sections", std::vector<std::int64_t>{2, 3, 3, 0}}},
       .qkv_bias = true},
      {.name = "qwen3", .architecture = "qwen3", .head_dim = 32},
      {.name = "qwen3, tied", .architecture = "qwen3", .head_dim = 32, .tied = true},
      {.name = "qwen3vl",
       .architecture = "qwen3vl",
       .keys = {{"rope.dimension_sections", std::vector<std::int64_t>{3, 3, 2, 0}},
                number("n_deepstack_layers", 0)}},
      {.name = "seed_oss", .architecture = "seed_oss", .qkv_bias = true},
      {.name = "exaone", .architecture = "exaone"},
      {.name = "exaone4", .architecture = "exaone4"},
      // llama.cpp has windows in its size of 64 layers only.
      {.name = "exaone4, window", .architecture = "exaone4", .keys = {window}, .layers = 64},
      {.name = "hunyuan-dense", .architecture = "hunyuan-dense"},
      {.name = "olmo", .architecture = "olmo", .tied = true},
      {.name = "olmo, clamped", .architecture = "olmo", .keys = {{"attention.clamp_kqv", 1.5}}},
      {.name = "olmo2", .architecture = "olmo2"},
      {.name = "olmo2, window", .architecture = "olmo2", .keys = yarn(4, 32, {window}), .layers = 5},
      {.name = "gemma", .architecture = "gemma", .head_dim = 32, .tied = true},
      {.name = "gemma2", .architecture = "gemma2", .keys = {window}, .layers = 4, .tied = true},
      {.name = "gemma2, tight caps",
       .architecture = "gemma2",
       .keys = {window, {"attn_logit_softcapping", 2.0}, {"final_logit_softcapping", 3.0}},
       .layers = 3,
       .tied = true},
      {.name = "gemma2, 27B",
       .architecture = "gemma2",
       .keys = {window},
       .layers = 46,
       .head_dim = 32,
       .tied = true},
      {.name = "gemma3",
       .architecture = "gemma3",
       .keys = {window, {"rope.freq_base", 1e6}},
       .layers = 8,
       .tied = true},
      {.name = "gemma3, scaled",
       .architecture = "gemma3",
       .keys = {window,
                {"rope.freq_base", 1e6},
                {"rope.scaling.type", std::string("linear")},
                {"rope.scaling.factor", 8.0}},
       .layers = 7,
       .tied = true},
      {.name = "gemma3, no window",
       .architecture = "gemma3",
       .keys = {{"rope.freq_base", 1e6}},
       .tied = true},
      {.name = "phi3", .architecture = "phi3"},
      {.name = "phi3, short factors",
       .architecture = "phi3",
       .keys = {number("rope.scaling.original_context_length", 256), {"rope.scaling.attn_factor", 1.19}},
       .rope_tensors = {{"rope_factors_short.weight", 2.5}, {"rope_factors_long.weight", 30}}},
      {.name = "phi3, long factors",
       .architecture = "phi3",
       .keys = {part,
                number("rope.scaling.original_context_length", 255),
                {"rope.scaling.attn_factor", 1.19}},
       .rope_tensors = {{"rope_factors_short.weight", 2.5}, {"rope_factors_long.weight", 30}}},
      {.name = "phi2",
       .architecture = "phi2",
       .keys = {part},
       .kv_heads = 4,
       .qkv_bias = true,
       .other_biases = true,
       .output_bias = true,
       .ffn_norm = false},
      {.name = "gptneox",
       .architecture = "gptneox",
       .keys = {part},
       .kv_heads = 4,
       .qkv_bias = true,
       .other_biases = true},
      {.name = "gptneox, serial",
       .architecture = "gptneox",
       .keys = {part, serial},
       .kv_heads = 4,
       .qkv_bias = true,
       .other_biases = true},
      {.name = "falcon", .architecture = "falcon", .kv_heads = 1, .ffn_norm = false},
      {.name = "falcon, 40B",
       .architecture = "falcon",
       .kv_heads = 2,
       .ffn_norm = false,
       .attn_norm_2 = true},
      {.name = "stablelm", .architecture = "stablelm", .keys = {part, serial}, .qkv_bias = true},
      {.name = "stablelm, parallel", .architecture = "stablelm", .keys = {part}, .ffn_norm = false},
      {.name = "stablelm, 12B",
       .architecture = "stablelm",
       .keys = {part},
       .ffn_norm = false,
       .head_norms = true},
      {.name = "starcoder2", .architecture = "starcoder2", .qkv_bias = true, .other_biases = true},
      {.name = "nemotron", .architecture = "nemotron", .keys = {part}},
      {.name = "command-r",
       .architecture = "command-r",
       .keys = {{"logit_scale", 0.3}},
       .tied = true,
       .ffn_norm = false},
      // llama.cpp has norms of heads in sizes of 64 layers and more only.
      {.name = "command-r, plus",
       .architecture = "command-r",
       .keys = {{"logit_scale", 0.3}},
       .layers = 64,
       .tied = true,
       .ffn_norm = false,
       .head_norms = true},
      {.name = "cohere2",
       .architecture = "cohere2",
       .keys = {window, {"logit_scale", 0.3}, number("rope.dimension_count", 16)},
       .layers = 5,
       .tied = true,
       .ffn_norm = false},
  };
  return list;
}

/// A matrix, and its bias.
void add_linear(TensorMaker& make, const std::string& name, std::uint64_t rows, std::uint64_t cols, bool bias,
                double gain = 1) {
  const double deviation = gain / std::sqrt(static_cast<double>(cols));
  make.add(name + ".weight", TensorType::f32, {rows, cols}, static_cast<float>(deviation));
  if (bias) make.add(name + ".bias", TensorType::f32, {rows}, 0.3F);
}

void add_norm(TensorMaker& make, const std::string& name, std::uint64_t size, NormKind kind) {
  if (kind == NormKind::layer_bare) return;
  make.add(name + ".weight", TensorType::f32, {size}, 0.2F, 1.0F);
  if (kind == NormKind::layer) make.add(name + ".bias", TensorType::f32, {size}, 0.3F);
}

void add_layer(TensorMaker& make, const std::string& p, const ToyArchitecture& toy, const Architecture& a) {
  const std::uint64_t q = heads * toy.head_dim;
  const std::uint64_t kv = toy.kv_heads * toy.head_dim;
  if (a.norm_before) add_norm(make, p + "attn_norm", width, a.norm);
  if (toy.attn_norm_2) add_norm(make, p + "attn_norm_2", width, a.norm);
  if (a.fused_qkv) {
    add_linear(make, p + "attn_qkv", q + 2 * kv, width, toy.qkv_bias, 1.5);
  } else {
    add_linear(make, p + "attn_q", q, width, toy.qkv_bias, 2);
    add_linear(make, p + "attn_k", kv, width, toy.qkv_bias, 2);
    add_linear(make, p + "attn_v", kv, width, toy.qkv_bias);
  }
  if (a.qk_norm == QkNorm::layer_each_head) {
    if (toy.head_norms) {
      make.add(p + "attn_q_norm.weight", TensorType::f32, {heads, toy.head_dim}, 0.2F, 1.0F);
      make.add(p + "attn_k_norm.weight", TensorType::f32, {toy.kv_heads, toy.head_dim}, 0.2F, 1.0F);
    }
  } else if (a.qk_norm != QkNorm::none) {
    const bool whole = a.qk_norm == QkNorm::whole;
    add_norm(make, p + "attn_q_norm", whole ? q : toy.head_dim, NormKind::rms);
    add_norm(make, p + "attn_k_norm", whole ? kv : toy.head_dim, NormKind::rms);
  }
  add_linear(make, p + "attn_output", width, q, toy.other_biases);
  if (a.norm_behind) add_norm(make, p + "post_attention_norm", width, a.norm);
  if (a.norm_before && toy.ffn_norm) add_norm(make, p + std::string(a.ffn_norm_name), width, a.norm);
  const bool gated = is_gated(a.feed_forward);
  if (gated && !a.fused_gate) add_linear(make, p + "ffn_gate", hidden, width, toy.other_biases);
  add_linear(make, p + "ffn_up", a.fused_gate ? 2 * hidden : hidden, width, toy.other_biases);
  add_linear(make, p + "ffn_down", width, hidden, toy.other_biases);
  if (a.norm_behind) add_norm(make, p + "post_ffw_norm", width, a.norm);
}

void add_keys(Metadata& metadata, const ToyArchitecture& toy) {
  const auto add = [&](const std::string& name, MetadataValue value) {
    metadata.insert(toy.architecture + "." + name, std::move(value));
  };
  metadata.insert("general.architecture", toy.architecture);
  metadata.insert("general.name", std::string("toy"));
  for (const auto& [name, value] : toy.keys) add(name, value);
  add("block_count", std::uint64_t{toy.layers});
  add("context_length", std::uint64_t{512});
  add("embedding_length", width);
  add("feed_forward_length", hidden);
  add("attention.head_count", heads);
  add("attention.head_count_kv", std::uint64_t{toy.kv_heads});
  add("attention.key_length", std::uint64_t{toy.head_dim});
  add("attention.value_length", std::uint64_t{toy.head_dim});
  add("attention.layer_norm_rms_epsilon", 1e-5);
  add("attention.layer_norm_epsilon", 1e-5);
  add("use_parallel_residual", true);  // left alone where the case says otherwise
  add("rope.dimension_count", std::uint64_t{toy.head_dim});
  add_toy_vocabulary(metadata);
}

}  // namespace

const std::vector<ToyArchitecture>& toy_architectures() {
  static const std::vector<ToyArchitecture> list = make_list();
  return list;
}

Checkpoint toy_checkpoint(const ToyArchitecture& toy) {
  const Architecture* architecture = find_architecture(toy.architecture);
  TROUPE_CHECK(architecture != nullptr);
  Checkpoint checkpoint;
  checkpoint.format = "toy";
  add_keys(checkpoint.metadata, toy);
  TensorMaker make(checkpoint, 7);
  for (const auto& [name, last] : toy.rope_tensors) {
    const std::uint64_t pairs = *checkpoint.metadata.need_u64(toy.architecture + ".rope.dimension_count") / 2;
    std::vector<float> divisors(pairs);
    for (std::uint64_t i = 0; i < pairs; ++i) {
      const double share = static_cast<double>(i) / static_cast<double>(pairs - 1);
      divisors[i] = static_cast<float>(1 + (last - 1) * share);
    }
    make.add(name, TensorType::f32, {pairs}, divisors);
  }
  make.add("token_embd.weight", TensorType::f32, {toy_vocab, width}, toy.tied ? 0.3F : 1.0F);
  for (std::uint32_t i = 0; i < toy.layers; ++i)
    add_layer(make, "blk." + std::to_string(i) + ".", toy, *architecture);
  add_norm(make, "output_norm", width, architecture->norm);
  if (!toy.tied) add_linear(make, "output", toy_vocab, width, toy.output_bias, 3);
  checkpoint.storage = make.storage();
  std::string duplicate;
  TROUPE_CHECK(checkpoint.build_index(duplicate));
  return checkpoint;
}

}  // namespace troupe::test
