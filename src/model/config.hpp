#pragma once
// The numbers that describe a model's layers, read from a checkpoint and checked.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/checkpoint.hpp"
#include "model/architecture.hpp"
#include "model/rope_config.hpp"
#include "troupe/error.hpp"

namespace troupe {

/// One model's shape. Every field is in its valid range once read_config() returned it.
struct ModelConfig {
  Architecture architecture;
  std::uint32_t layers = 0;
  std::uint32_t width = 0;     ///< of the residual stream
  std::uint32_t heads = 0;     ///< query heads
  std::uint32_t kv_heads = 0;  ///< divides heads
  std::uint32_t head_dim = 0;
  std::uint32_t ffn_width = 0;
  std::uint32_t vocab_size = 0;
  std::uint32_t context_tokens = 0;  ///< as the file states it; with learned positions there are no more
  float norm_eps = 0;
  bool parallel = false;  ///< both blocks of a layer see its input
  bool gelu_f16 = false;  ///< gelu by way of f16, as ggml has it; only where has_gelu()
  RopeConfig rope;        ///< with rotary positions

  std::uint32_t window =
      0;  ///< positions that a layer with a sliding window sees, its own too; 0: there is none
  std::uint32_t window_period = 1;    ///< every so manieth layer sees everything; 1: none does
  std::vector<bool> windowed_layers;  ///< [layers], or empty: as window_period says

  float embedding_scale = 1;
  float attention_scale = 1;    ///< multiplies q·k
  float attention_softcap = 0;  ///< 0: none
  float qkv_clamp = 0;          ///< the largest magnitude in queries, keys and values; 0: any
  float residual_scale = 1;     ///< multiplies what a block adds
  float logit_scale = 1;
  float logit_softcap = 0;  ///< 0: none
  /// Queries are multiplied by 1 + temperature_scale ln(1 + floor(position / temperature_length)); 0: by 1.
  float temperature_scale = 0;
  std::uint32_t temperature_length = 1;

  std::size_t q_width() const { return std::size_t{heads} * head_dim; }
  std::size_t kv_width() const { return std::size_t{kv_heads} * head_dim; }

  /// Whether the layer sees no further back than `window`.
  bool is_windowed(std::size_t layer) const {
    if (window == 0) return false;
    if (!windowed_layers.empty()) return windowed_layers[layer];
    return window_period <= 1 || layer % window_period != window_period - 1;
  }
  bool is_rotated(std::size_t layer) const {
    if (architecture.positions != PositionKind::rotary) return false;
    switch (architecture.rotated_layers) {
      case RotatedLayers::windowed: return window == 0 || is_windowed(layer);
      case RotatedLayers::three_of_four: return layer % 4 != 3;
      case RotatedLayers::all: break;
    }
    return true;
  }
};

/// Reads and checks the configuration. Errors: unsupported (architecture or scaling, named), bad_file (the
/// key and its value).
Result<ModelConfig> read_config(const Checkpoint& checkpoint);

}  // namespace troupe
