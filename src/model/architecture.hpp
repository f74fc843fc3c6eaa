#pragma once
// What the layers of an architecture are made of, as data: configuration, loading and the forward pass read
// this one description. To add an architecture is to add a row to the table in architecture.cpp, and a field
// here where it has a part that no other has. What a file itself decides is not here: biases are there where
// the file has them, numbers are its keys.

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/ops.hpp"

namespace troupe {

enum class NormKind : std::uint8_t {
  rms,             ///< x / rms(x) · weight
  layer,           ///< (x - mean) / deviation · weight + bias
  layer_unbiased,  ///< the same without a bias
  layer_bare,      ///< and without a weight: the file has no tensors for it
};

/// How a row of the batch learns its position.
enum class PositionKind : std::uint8_t {
  rotary,   ///< queries and keys are turned by angles that grow with the position
  learned,  ///< a row of the table position_embd.weight is added to the embedding; there are no more
            ///< positions
};

/// Which layers rotate, where positions are rotary.
enum class RotatedLayers : std::uint8_t {
  all,
  windowed,       ///< those with a sliding window; all of them in a model without one
  three_of_four,  ///< all but every fourth
};

/// The feed-forward block.
enum class FeedForwardKind : std::uint8_t {
  silu_gated,          ///< W_down (silu(W_gate x) · W_up x)
  gelu_gated,          ///< the same with gelu, in its tanh form
  gelu_plain,          ///< W_down gelu(W_up x), without a gate
  relu_squared_plain,  ///< W_down max(W_up x, 0)²
};

constexpr bool is_gated(FeedForwardKind kind) {
  return kind == FeedForwardKind::silu_gated || kind == FeedForwardKind::gelu_gated;
}
constexpr bool has_gelu(FeedForwardKind kind) {
  return kind == FeedForwardKind::gelu_gated || kind == FeedForwardKind::gelu_plain;
}

/// The norm of queries and keys, with weights of its own; an rms norm unless otherwise said.
enum class QkNorm : std::uint8_t {
  none,
  per_head,             ///< each head by itself, with the same weights [head_dim]
  per_head_after_rope,  ///< the same, after the rotation
  whole,                ///< all heads of a row together, weights [heads * head_dim]
  layer_each_head,      ///< each head by itself, with a row of [heads, head_dim]: layer norms without biases;
                        ///< only where the file has them
};

/// How a layer's two blocks add to the residual stream.
enum class Residual : std::uint8_t {
  serial,            ///< the feed-forward sees what attention has added
  parallel,          ///< both see the layer's input, through one norm or one each
  parallel_by_key,   ///< the key use_parallel_residual says, true without it
  parallel_by_norm,  ///< parallel where the file has no ffn_norm
};

/// What the key logit_scale does.
enum class LogitScale : std::uint8_t { multiplies, divides };

struct Architecture {
  std::string_view name;  ///< general.architecture
  NormKind norm = NormKind::rms;
  /// Blocks have a norm in front of them (attn_norm, ffn_norm), behind them (post_attention_norm,
  /// post_ffw_norm), or both.
  bool norm_before = true;
  bool norm_behind = false;
  std::string_view ffn_norm_name = "ffn_norm";
  Residual residual = Residual::serial;
  /// Where the file has attn_norm_2, attention reads its input through that, and attn_norm is the
  /// feed-forward's.
  bool norm_2_for_attention = false;

  PositionKind positions = PositionKind::rotary;
  RopeStyle rope_style = RopeStyle::adjacent;
  RotatedLayers rotated_layers = RotatedLayers::all;
  QkNorm qk_norm = QkNorm::none;

  /// With a sliding window, every so manieth layer sees everything; 1: none does. The key
  /// attention.sliding_window_pattern goes first.
  std::uint32_t window_period = 1;
  std::uint32_t window_default = 0;  ///< without the key attention.sliding_window; 0: no window
  /// Layers with a window rotate without the file's scaling...
  bool window_rope_unscaled = false;
  /// ...and by this base, without the key rope.freq_base_swa; 0: the same as the others.
  double window_rope_base = 0;

  FeedForwardKind feed_forward = FeedForwardKind::silu_gated;
  /// One tensor, ffn_up, holds the rows of the gate and then those of W_up.
  bool fused_gate = false;
  /// What is missing is called attn_qkv; any architecture's query, key and value may lie in one tensor of
  /// that name, their rows in this order, or in three.
  bool fused_qkv = false;

  bool embedding_scaled = false;       ///< embeddings are multiplied by sqrt(width)
  double embedding_scale = 1;          ///< or by this, without the key embedding_scale
  double residual_scale_by_depth = 0;  ///< without the key residual_scale: this / sqrt(layers); 0: 1
  double attention_softcap = 0;        ///< without the key attn_logit_softcapping; 0: none
  double logit_softcap = 0;            ///< without the key final_logit_softcapping; 0: none
  LogitScale logit_scale = LogitScale::multiplies;
  std::uint32_t logit_base_width = 0;  ///< without the key logit_scale: width / this; 0: 1
  /// The size of the family, by its number of layers, whose scores are scaled by 1 / sqrt(width / heads),
  /// whatever the size of a head; 0: none.
  std::uint32_t width_scaled_layers = 0;
};

/// Null when there is no such architecture here.
const Architecture* find_architecture(std::string_view name) noexcept;

/// All of them, for messages: "llama, gpt2".
std::string architecture_names();

}  // namespace troupe
