#include "model/config.hpp"

#include <cmath>
#include <cstring>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "model/key_reader.hpp"

namespace troupe {
namespace {

constexpr std::uint64_t vocab_max = 1U << 24;
constexpr std::uint64_t context_max = 1U << 24;

Error bad(std::string message) {
  return {Errc::bad_file, std::move(message), 0};
}

Result<const Architecture*> known_architecture(const KeyReader& keys, const std::string& name) {
  if (const Architecture* architecture = find_architecture(name)) return architecture;
  const auto count = keys.metadata().get_u64(keys.key("expert_count"));
  const bool experts = name.find("moe") != std::string::npos || (count && count->value_or(0) > 0);
  return Error{Errc::unsupported,
               "general.architecture is " + in_quotes(name) +
                   (experts ? ", a mixture of experts, which is not supported" : "") +
                   "; supported: " + architecture_names(),
               0};
}

Status refuse_experts(const KeyReader& keys) {
  TROUPE_TRY(const auto experts, keys.metadata().get_u64(keys.key("expert_count")));
  if (experts.value_or(0) == 0) return {};
  return Error{Errc::unsupported,
               keys.key("expert_count") + " is " + std::to_string(*experts) +
                   "; mixtures of experts are not supported",
               0};
}

/// width, heads, kv_heads, head_dim.
Status read_heads(const KeyReader& keys, ModelConfig& config) {
  TROUPE_TRY(config.width, keys.dimension("embedding_length"));
  TROUPE_TRY(config.heads, keys.dimension("attention.head_count"));
  TROUPE_TRY(config.kv_heads, keys.dimension_or("attention.head_count_kv", config.heads));
  if (config.heads % config.kv_heads != 0) {
    return bad(keys.key("attention.head_count_kv") + " is " + std::to_string(config.kv_heads) +
               ", which does not divide the " + std::to_string(config.heads) + " heads");
  }
  if (keys.has("attention.key_length")) {
    TROUPE_TRY(config.head_dim, keys.dimension("attention.key_length"));
  } else if (config.width % config.heads == 0) {
    config.head_dim = config.width / config.heads;
  } else {
    return bad(keys.key("embedding_length") + " is " + std::to_string(config.width) +
               ", no multiple of the " + std::to_string(config.heads) + " heads");
  }
  if (config.q_width() > KeyReader::dimension_max) {
    return bad(keys.key("attention.head_count") + " is " + std::to_string(config.heads) +
               " and the head size " + std::to_string(config.head_dim) + "; together they may be at most " +
               std::to_string(KeyReader::dimension_max));
  }
  TROUPE_TRY(const auto value_length, keys.dimension_or("attention.value_length", config.head_dim));
  if (value_length != config.head_dim) {
    return Error{Errc::unsupported,
                 keys.key("attention.value_length") + " is " + std::to_string(value_length) +
                     "; supported: the key length " + std::to_string(config.head_dim),
                 0};
  }
  return {};
}

/// The sliding window, and which layers have it.
Status read_window(const KeyReader& keys, ModelConfig& config) {
  const Architecture& architecture = config.architecture;
  TROUPE_TRY(config.window,
             keys.count_or("attention.sliding_window", architecture.window_default, UINT32_MAX));
  config.window_period = architecture.window_period;
  const char* pattern = "attention.sliding_window_pattern";
  if (config.window == 0 || !keys.has(pattern)) return {};
  if (!keys.is_array(pattern)) {
    TROUPE_TRY(config.window_period, keys.dimension(pattern));
    return {};
  }
  TROUPE_TRY(const std::vector<std::int64_t> layers, keys.integers(pattern));
  if (layers.size() != config.layers) {
    return bad(keys.key(pattern) + " has " + std::to_string(layers.size()) + " entries for " +
               std::to_string(config.layers) + " layers");
  }
  for (const std::int64_t windowed : layers) config.windowed_layers.push_back(windowed != 0);
  return {};
}

/// The factors that some architectures multiply with at various places.
Status read_scales(const KeyReader& keys, ModelConfig& config) {
  const Architecture& architecture = config.architecture;
  const double width = config.width;
  const bool by_width = architecture.width_scaled_layers == config.layers;
  const double scaled_dim = by_width ? width / config.heads : config.head_dim;
  const auto number = [&](float& target, const char* name, double fallback) -> Status {
    TROUPE_TRY(const double value, keys.number_or(name, fallback));
    target = static_cast<float>(value);
    return {};
  };
  TROUPE_TRY_STATUS(
      number(config.attention_softcap, "attn_logit_softcapping", architecture.attention_softcap));
  TROUPE_TRY_STATUS(number(config.logit_softcap, "final_logit_softcapping", architecture.logit_softcap));
  TROUPE_TRY_STATUS(number(config.qkv_clamp, "attention.clamp_kqv", 0));
  TROUPE_TRY_STATUS(number(config.temperature_scale, "attention.temperature_scale", 0));

  // A scale of 0 says nothing.
  const auto scale = [&](float& target, const char* name, double fallback) -> Status {
    TROUPE_TRY_STATUS(number(target, name, fallback));
    if (target == 0) target = static_cast<float>(fallback);
    return {};
  };
  const double embedding_scale =
      architecture.embedding_scaled ? std::sqrt(width) : architecture.embedding_scale;
  const double by_depth = architecture.residual_scale_by_depth / std::sqrt(config.layers);
  const std::uint32_t base_width = architecture.logit_base_width;
  TROUPE_TRY_STATUS(scale(config.embedding_scale, "embedding_scale", embedding_scale));
  TROUPE_TRY_STATUS(scale(config.attention_scale, "attention.scale", 1 / std::sqrt(scaled_dim)));
  TROUPE_TRY_STATUS(scale(config.residual_scale, "residual_scale", by_depth == 0 ? 1 : by_depth));
  TROUPE_TRY_STATUS(scale(config.logit_scale, "logit_scale", base_width == 0 ? 1 : width / base_width));
  if (architecture.logit_scale == LogitScale::divides) config.logit_scale = 1 / config.logit_scale;
  return {};
}

Result<bool> read_parallel(const KeyReader& keys, const Checkpoint& checkpoint, Residual residual) {
  switch (residual) {
    case Residual::parallel: return true;
    case Residual::parallel_by_key: return keys.flag_or("use_parallel_residual", true);
    case Residual::parallel_by_norm: return checkpoint.find("blk.0.ffn_norm.weight") == nullptr;
    case Residual::serial: break;
  }
  return false;
}

}  // namespace

Result<ModelConfig> read_config(const Checkpoint& checkpoint) {
  ModelConfig config;
  TROUPE_TRY(const std::string name, checkpoint.metadata.need_string("general.architecture"));
  const KeyReader keys(checkpoint.metadata, name);
  TROUPE_TRY(const Architecture* architecture, known_architecture(keys, name));
  config.architecture = *architecture;
  TROUPE_TRY_STATUS(refuse_experts(keys));
  TROUPE_TRY(config.layers, keys.dimension("block_count"));
  TROUPE_TRY_STATUS(read_heads(keys, config));
  TROUPE_TRY(config.ffn_width, keys.dimension("feed_forward_length"));
  TROUPE_TRY(config.context_tokens, keys.dimension("context_length", context_max));
  const char* eps_key = architecture->norm == NormKind::rms ? "attention.layer_norm_rms_epsilon"
                                                            : "attention.layer_norm_epsilon";
  TROUPE_TRY(const double eps, keys.positive_or(eps_key, 1e-5));
  config.norm_eps = static_cast<float>(eps);
  if (has_gelu(architecture->feed_forward)) {
    // Without the key the file is one made for ggml, which computes gelu that way and no other.
    TROUPE_TRY(config.gelu_f16, keys.flag_or("gelu_f16", true));
  }
  TROUPE_TRY(config.parallel, read_parallel(keys, checkpoint, architecture->residual));
  TROUPE_TRY_STATUS(read_window(keys, config));
  TROUPE_TRY_STATUS(read_scales(keys, config));
  if (architecture->positions == PositionKind::rotary) {
    TROUPE_TRY(config.rope,
               read_rope(checkpoint, keys, *architecture, config.head_dim, config.context_tokens));
  }
  if (config.temperature_scale != 0) {
    const char* original = "rope.scaling.original_context_length";
    TROUPE_TRY(const auto fallback, keys.dimension_or(original, config.context_tokens));
    TROUPE_TRY(config.temperature_length, keys.dimension_or("attention.temperature_length", fallback));
  }

  const TensorView* embedding = checkpoint.find("token_embd.weight");
  if (embedding == nullptr)
    return bad("tensor token_embd.weight is missing; a model without weights cannot run");
  if (embedding->dims.size() != 2 || embedding->dims[0] > vocab_max) {
    return bad("tensor token_embd.weight is no matrix of a plausible vocabulary");
  }
  config.vocab_size = static_cast<std::uint32_t>(embedding->dims[0]);
  return config;
}

}  // namespace troupe
