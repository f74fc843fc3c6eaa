#include "model/architecture.hpp"

namespace troupe {
namespace {

// As llama.cpp computes them, whose converters write the files: tests/model/architectures_test.cpp holds the
// rows against its logits.
constexpr Architecture architectures[] = {
    // Llama 1 to 3, TinyLlama, SmolLM 2, Mistral, Yi, DeepSeek LLM, Falcon 3, …
    {.name = "llama"},
    {.name = "mistral3"},
    {.name = "internlm2"},
    {.name = "xverse"},
    {.name = "ernie4_5"},
    {.name = "granite", .logit_scale = LogitScale::divides},
    // Its first files state no scales; for them llama.cpp multiplies where the model divides the logits.
    {.name = "minicpm",
     .embedding_scale = 12,
     .residual_scale_by_depth = 1.4,
     .logit_scale = LogitScale::divides,
     .logit_base_width = 256},
    {.name = "smollm3", .rotated_layers = RotatedLayers::three_of_four},
    {.name = "arcee", .feed_forward = FeedForwardKind::relu_squared_plain},
    {.name = "orion", .norm = NormKind::layer, .rope_style = RopeStyle::halves},
    {.name = "glm4", .norm_behind = true, .fused_gate = true},

    {.name = "qwen2", .rope_style = RopeStyle::halves},
    {.name = "qwen2vl", .rope_style = RopeStyle::halves},  // positions of text are alike in all its sections
    {.name = "qwen3", .rope_style = RopeStyle::halves, .qk_norm = QkNorm::per_head},
    {.name = "qwen3vl", .rope_style = RopeStyle::halves, .qk_norm = QkNorm::per_head},
    {.name = "seed_oss", .ffn_norm_name = "post_attention_norm", .rope_style = RopeStyle::halves},
    {.name = "exaone", .rope_style = RopeStyle::halves},
    {.name = "exaone4",
     .norm_before = false,
     .norm_behind = true,
     .rope_style = RopeStyle::halves,
     .rotated_layers = RotatedLayers::windowed,
     .qk_norm = QkNorm::per_head,
     .window_period = 4},
    {.name = "hunyuan-dense", .rope_style = RopeStyle::halves, .qk_norm = QkNorm::per_head_after_rope},
    {.name = "olmo", .norm = NormKind::layer_bare},
    {.name = "olmo2",
     .norm_before = false,
     .norm_behind = true,
     .rope_style = RopeStyle::halves,
     .qk_norm = QkNorm::whole,
     .window_period = 4,
     .window_rope_unscaled = true},

    {.name = "gemma",
     .rope_style = RopeStyle::halves,
     .feed_forward = FeedForwardKind::gelu_gated,
     .embedding_scaled = true},
    {.name = "gemma2",
     .norm_behind = true,
     .rope_style = RopeStyle::halves,
     .window_period = 2,
     .window_default = 4096,
     .feed_forward = FeedForwardKind::gelu_gated,
     .embedding_scaled = true,
     .attention_softcap = 50,
     .logit_softcap = 30,
     .width_scaled_layers = 46},  // 27B
    {.name = "gemma3",
     .norm_behind = true,
     .rope_style = RopeStyle::halves,
     .qk_norm = QkNorm::per_head,
     .window_period = 6,
     .window_rope_unscaled = true,
     .window_rope_base = 10000,
     .feed_forward = FeedForwardKind::gelu_gated,
     .embedding_scaled = true,
     .width_scaled_layers = 62},  // 27B

    {.name = "phi3", .rope_style = RopeStyle::halves, .fused_gate = true, .fused_qkv = true},
    {.name = "phi2",
     .norm = NormKind::layer,
     .residual = Residual::parallel,
     .rope_style = RopeStyle::halves,
     .feed_forward = FeedForwardKind::gelu_plain,
     .fused_qkv = true},

    {.name = "gpt2",
     .norm = NormKind::layer,
     .positions = PositionKind::learned,
     .feed_forward = FeedForwardKind::gelu_plain,
     .fused_qkv = true},
    {.name = "gptneox",
     .norm = NormKind::layer,
     .residual = Residual::parallel_by_key,
     .rope_style = RopeStyle::halves,
     .feed_forward = FeedForwardKind::gelu_plain,
     .fused_qkv = true},
    {.name = "falcon",
     .norm = NormKind::layer,
     .residual = Residual::parallel,
     .norm_2_for_attention = true,
     .rope_style = RopeStyle::halves,
     .feed_forward = FeedForwardKind::gelu_plain,
     .fused_qkv = true},
    {.name = "stablelm",
     .norm = NormKind::layer,
     .residual = Residual::parallel_by_norm,
     .rope_style = RopeStyle::halves,
     .qk_norm = QkNorm::layer_each_head},
    {.name = "starcoder2",
     .norm = NormKind::layer,
     .rope_style = RopeStyle::halves,
     .feed_forward = FeedForwardKind::gelu_plain},
    {.name = "nemotron",
     .norm = NormKind::layer,
     .rope_style = RopeStyle::halves,
     .feed_forward = FeedForwardKind::relu_squared_plain},
    {.name = "command-r",
     .norm = NormKind::layer_unbiased,
     .residual = Residual::parallel,
     .qk_norm = QkNorm::layer_each_head},
    {.name = "cohere2",
     .norm = NormKind::layer_unbiased,
     .residual = Residual::parallel,
     .rotated_layers = RotatedLayers::windowed,
     .window_period = 4},
};

}  // namespace

const Architecture* find_architecture(std::string_view name) noexcept {
  for (const Architecture& architecture : architectures) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

std::string architecture_names() {
  std::string names;
  for (const Architecture& architecture : architectures) {
    names.append(names.empty() ? "" : ", ").append(architecture.name);
  }
  return names;
}

}  // namespace troupe
