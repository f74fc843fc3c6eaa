#include "model/config.hpp"

#include <cmath>
#include <cstring>

#include "base/try.hpp"
#include "base/utf8.hpp"

namespace troupe {
namespace {

// Far beyond any real model. A dimension is bounded by itself, because scratch memory grows with it, not only
// with the file.
constexpr std::uint64_t dimension_max = 1U << 20;
constexpr std::uint64_t vocab_max = 1U << 24;
constexpr std::uint64_t context_max = 1U << 24;

Error bad(std::string message) {
  return {Errc::bad_file, std::move(message), 0};
}

class KeyReader {
 public:
  KeyReader(const Metadata& metadata, std::string architecture)
      : metadata_(metadata), prefix_(std::move(architecture) + ".") {}

  std::string key(const char* name) const { return prefix_ + name; }

  /// A dimension: present, at least 1, at most `max`.
  Result<std::uint32_t> dimension(const char* name, std::uint64_t max = dimension_max) const {
    TROUPE_TRY(const std::uint64_t value, metadata_.need_u64(key(name)));
    return checked(name, value, max);
  }

  Result<std::uint32_t> dimension_or(const char* name, std::uint32_t fallback) const {
    TROUPE_TRY(const auto value, metadata_.get_u64(key(name)));
    return value ? checked(name, *value, dimension_max) : Result<std::uint32_t>(fallback);
  }

  /// A positive finite number.
  Result<double> positive_or(const char* name, double fallback) const {
    TROUPE_TRY(const auto value, metadata_.get_f64(key(name)));
    if (!value) return fallback;
    if (!std::isfinite(*value) || *value <= 0) {
      return bad(key(name) + " is " + std::to_string(*value) + "; expected a positive number");
    }
    return *value;
  }

 private:
  Result<std::uint32_t> checked(const char* name, std::uint64_t value, std::uint64_t max) const {
    if (value == 0 || value > max) {
      return bad(key(name) + " is " + std::to_string(value) + "; expected 1 to " + std::to_string(max));
    }
    return static_cast<std::uint32_t>(value);
  }

  const Metadata& metadata_;
  std::string prefix_;
};

/// Llama 3's per-pair divisors of the frequencies, stored as a tensor; empty when the file has none.
Result<std::vector<float>> rope_factors(const Checkpoint& checkpoint, std::uint32_t pairs) {
  const TensorView* tensor = checkpoint.find("rope_freqs.weight");
  if (tensor == nullptr) return std::vector<float>{};
  if (tensor->type != TensorType::f32 || tensor->elements() != pairs) {
    return bad("tensor rope_freqs.weight has " + std::to_string(tensor->elements()) + " elements of type " +
               std::string(tensor_type_info(tensor->type).name) + "; expected " + std::to_string(pairs) +
               " of F32");
  }
  std::vector<float> factors(pairs);
  std::memcpy(factors.data(), tensor->data.data(), pairs * sizeof(float));
  for (float factor : factors) {
    if (!std::isfinite(factor) || factor <= 0)
      return bad("tensor rope_freqs.weight holds " + std::to_string(factor));
  }
  return factors;
}

Status read_rope(const Checkpoint& checkpoint, const KeyReader& keys, ModelConfig& config) {
  TROUPE_TRY(config.rope_dim, keys.dimension_or("rope.dimension_count", config.head_dim));
  if (config.rope_dim > config.head_dim || config.rope_dim % 2 != 0) {
    return bad(keys.key("rope.dimension_count") + " is " + std::to_string(config.rope_dim) +
               "; expected an even number up to the head size " + std::to_string(config.head_dim));
  }
  TROUPE_TRY(const double base, keys.positive_or("rope.freq_base", 10000.0));

  double divisor = 1.0;
  TROUPE_TRY(const auto scaling, checkpoint.metadata.get_string(keys.key("rope.scaling.type")));
  if (scaling && *scaling != "none") {
    if (*scaling != "linear") {
      return Error{Errc::unsupported,
                   keys.key("rope.scaling.type") + " is \"" + *scaling + "\"; supported: none, linear", 0};
    }
    TROUPE_TRY(divisor, keys.positive_or("rope.scaling.factor", 1.0));
  } else if (!scaling) {
    TROUPE_TRY(divisor, keys.positive_or("rope.scale_linear", 1.0));  // the key of older files
  }

  const std::uint32_t pairs = config.rope_dim / 2;
  TROUPE_TRY(const auto factors, rope_factors(checkpoint, pairs));
  config.rope_frequencies.resize(pairs);
  for (std::uint32_t i = 0; i < pairs; ++i) {
    const double frequency = std::pow(base, -2.0 * i / config.rope_dim) / divisor;
    config.rope_frequencies[i] = factors.empty() ? frequency : frequency / static_cast<double>(factors[i]);
  }
  return {};
}

}  // namespace

Result<ModelConfig> read_config(const Checkpoint& checkpoint) {
  ModelConfig config;
  TROUPE_TRY(const std::string name, checkpoint.metadata.need_string("general.architecture"));
  const Architecture* architecture = find_architecture(name);
  if (architecture == nullptr) {
    return Error{Errc::unsupported,
                 "general.architecture is " + in_quotes(name) + "; supported: " + architecture_names(), 0};
  }
  config.architecture = *architecture;
  const KeyReader keys(checkpoint.metadata, name);
  TROUPE_TRY(config.layers, keys.dimension("block_count"));
  TROUPE_TRY(config.width, keys.dimension("embedding_length"));
  TROUPE_TRY(config.heads, keys.dimension("attention.head_count"));
  TROUPE_TRY(config.kv_heads, keys.dimension_or("attention.head_count_kv", config.heads));
  TROUPE_TRY(config.ffn_width, keys.dimension("feed_forward_length"));
  TROUPE_TRY(config.context_tokens, keys.dimension("context_length", context_max));
  const char* eps_key = architecture->norm == NormKind::rms ? "attention.layer_norm_rms_epsilon"
                                                            : "attention.layer_norm_epsilon";
  TROUPE_TRY(const double eps, keys.positive_or(eps_key, 1e-5));
  config.norm_eps = static_cast<float>(eps);

  if (architecture->feed_forward == FeedForwardKind::gelu_plain) {
    // Without the key the file is one made for ggml, which computes gelu that way and no other.
    TROUPE_TRY(const auto gelu_f16, checkpoint.metadata.get_bool(keys.key("gelu_f16")));
    config.gelu_f16 = gelu_f16.value_or(true);
  }

  if (config.heads % config.kv_heads != 0) {
    return bad(keys.key("attention.head_count_kv") + " is " + std::to_string(config.kv_heads) +
               ", which does not divide the " + std::to_string(config.heads) + " heads");
  }
  if (checkpoint.metadata.contains(keys.key("attention.key_length"))) {
    TROUPE_TRY(config.head_dim, keys.dimension("attention.key_length"));
  } else if (config.width % config.heads == 0) {
    config.head_dim = config.width / config.heads;
  } else {
    return bad(keys.key("embedding_length") + " is " + std::to_string(config.width) +
               ", no multiple of the " + std::to_string(config.heads) + " heads");
  }
  if (config.q_width() > dimension_max) {
    return bad(keys.key("attention.head_count") + " is " + std::to_string(config.heads) +
               " and the head size " + std::to_string(config.head_dim) + "; together they may be at most " +
               std::to_string(dimension_max));
  }
  TROUPE_TRY(const auto value_length, keys.dimension_or("attention.value_length", config.head_dim));
  if (value_length != config.head_dim) {
    return Error{Errc::unsupported,
                 keys.key("attention.value_length") + " is " + std::to_string(value_length) +
                     "; supported: the key length " + std::to_string(config.head_dim),
                 0};
  }
  TROUPE_TRY(const auto experts, checkpoint.metadata.get_u64(keys.key("expert_count")));
  if (experts.value_or(0) != 0) {
    return Error{Errc::unsupported,
                 keys.key("expert_count") + " is " + std::to_string(*experts) +
                     "; mixtures of experts are not supported",
                 0};
  }
  if (architecture->positions == PositionKind::rotary) {
    TROUPE_TRY_STATUS(read_rope(checkpoint, keys, config));
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
