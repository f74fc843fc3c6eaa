#include "model/facts.hpp"

#include <algorithm>
#include <cstdio>

#include "base/try.hpp"
#include "model/key_reader.hpp"
#include "model/kv_cache.hpp"
#include "model/weights.hpp"

namespace troupe {
namespace {

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

/// What the file says of scaling; the values are in range, or the configuration would not have been read.
std::string scaling_text(const Checkpoint& checkpoint, const KeyReader& keys, const RopeConfig& rope) {
  std::string text;
  const auto type = checkpoint.metadata.get_string(keys.key("rope.scaling.type"));
  const auto factor = keys.number_or("rope.scaling.factor", 0);
  const auto old_factor = keys.number_or("rope.scale_linear", 0);
  const double by = factor && *factor != 0 ? *factor : old_factor ? *old_factor : 0;
  const std::string name = type && *type ? **type : "linear";
  if (by != 0 && by != 1 && name != "none") text += ", " + name + " scaling by " + number(by);
  if (checkpoint.find("rope_freqs.weight") != nullptr) text += ", frequency factors";
  if (rope.original_context != 0) {
    text += ", other factors beyond " + std::to_string(rope.original_context) + " tokens";
  }
  return text;
}

}  // namespace

Result<ModelFacts> model_facts(const Checkpoint& checkpoint) {
  ModelFacts facts;
  TROUPE_TRY(facts.config, read_config(checkpoint));
  TROUPE_TRY(facts.weight_bytes, check_weights(checkpoint, facts.config));
  facts.all_f32 = std::all_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                              [](const TensorView& tensor) { return tensor.type == TensorType::f32; });
  const KvType type = facts.all_f32 ? KvType::f32 : KvType::f16;
  const auto kv_bytes = [&](KvType of) {
    return KvCache::page_bytes(facts.config, of) * KvCache::pages_for(1024);
  };
  facts.kv_bytes_per_1024_tokens = kv_bytes(type);
  facts.kv_bytes_per_1024_tokens_q8_0 = kv_bytes(KvType::q8_0);
  return facts;
}

std::string positions_text(const Checkpoint& checkpoint, const ModelConfig& config) {
  if (config.architecture.positions == PositionKind::learned) {
    return "learned, " + std::to_string(config.context_tokens) + " of them";
  }
  const KeyReader keys(checkpoint.metadata, std::string(config.architecture.name));
  const auto base = keys.positive_or("rope.freq_base", 10000);
  std::string text = "rotary, base " + number(base ? *base : 0) + ", " + std::to_string(config.rope.dim) +
                     " of the " + std::to_string(config.head_dim) + " in a head" +
                     scaling_text(checkpoint, keys, config.rope);
  std::uint32_t windowed = 0;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) windowed += config.is_windowed(layer) ? 1 : 0;
  if (windowed != 0) {
    text += "; a sliding window of " + std::to_string(config.window) + " in " + std::to_string(windowed) +
            " of the layers";
  }
  return text;
}

std::string shape_text(const ModelConfig& config) {
  return std::to_string(config.layers) + " layers of " + std::to_string(config.width) + ", " +
         std::to_string(config.heads) + " heads of " + std::to_string(config.head_dim) + ", " +
         std::to_string(config.kv_heads) + " for keys and values, feed-forward " +
         std::to_string(config.ffn_width);
}

}  // namespace troupe
