#pragma once
// The dimensions of a model that is trained here.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "troupe/error.hpp"

namespace troupe::train {

enum class Style : std::uint8_t {
  llama,  ///< RMSNorm, rotary positions on adjacent pairs, SwiGLU, no biases: GGUF architecture "llama"
  gpt2,   ///< LayerNorm, learned positions, biases, tanh-form GELU, fused q, k and v: "gpt2"
};

struct ModelShape {
  Style style = Style::llama;
  std::size_t vocab = 0;    ///< tokens of the vocabulary
  std::size_t context = 0;  ///< positions of a window
  std::size_t layers = 0;
  std::size_t width = 0;     ///< of the residual stream; a multiple of heads
  std::size_t heads = 0;     ///< query heads
  std::size_t kv_heads = 0;  ///< divides heads; equals heads with gpt2
  std::size_t ffn = 0;       ///< width of the feed-forward part
  bool tied = true;          ///< the output matrix is the embedding
  float norm_eps = 1e-5f;
  float rope_base = 10000.0f;  ///< llama only

  std::size_t head_dim() const { return width / heads; }
  std::size_t kv_width() const { return kv_heads * head_dim(); }
  std::size_t qkv_width() const { return width + 2 * kv_width(); }
  /// Rows of the first matrix of the feed-forward part: gate and up, or up alone.
  std::size_t up_width() const { return style == Style::llama ? 2 * ffn : ffn; }
  bool has_biases() const { return style == Style::gpt2; }
};

/// Whether the dimensions fit together and are such that a model can be built. Errors: bad_argument, naming
/// the dimension.
Status check_shape(const ModelShape& shape);

/// Dimensions by name ("tiny", "small", "medium"), without a vocabulary; nullopt for another name.
std::optional<ModelShape> preset_shape(std::string_view name, Style style);

/// The width of a feed-forward part where none is given: 8/3 of the width in multiples of 32 for llama, as
/// its three matrices then cost what two of four times the width do; 4 times the width for gpt2.
std::size_t default_ffn(Style style, std::size_t width);

/// Multiply-adds count as two. Operations of a training step (forward and backward) for one token of a full
/// window: 6 per weight that is multiplied, and attention's products up to the diagonal.
double training_operations_per_token(const ModelShape& shape);

}  // namespace troupe::train
