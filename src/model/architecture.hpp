#pragma once
// What the layers of an architecture are made of, as data: configuration, loading and the forward pass read
// this one description. To add an architecture is to add a row to the table in architecture.cpp, and a field
// here where it has a part that no other has.

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/ops.hpp"

namespace troupe {

enum class NormKind : std::uint8_t {
  rms,    ///< x / rms(x) · weight
  layer,  ///< (x - mean) / deviation · weight + bias
};

/// How a row of the batch learns its position.
enum class PositionKind : std::uint8_t {
  rotary,   ///< queries and keys are turned by angles that grow with the position
  learned,  ///< a row of the table position_embd.weight is added to the embedding; there are no more
            ///< positions
};

/// The feed-forward block.
enum class FeedForwardKind : std::uint8_t {
  silu_gated,  ///< W_down (silu(W_gate x) · W_up x)
  gelu_plain,  ///< W_down gelu(W_up x), without a gate; gelu in its tanh form
};

struct Architecture {
  std::string_view name;  ///< general.architecture
  NormKind norm = NormKind::rms;
  PositionKind positions = PositionKind::rotary;
  RopeStyle rope_style = RopeStyle::adjacent;  ///< with rotary positions only
  FeedForwardKind feed_forward = FeedForwardKind::silu_gated;
  /// Query, key and value are one tensor, attn_qkv, their rows in this order; else attn_q, attn_k, attn_v.
  bool fused_qkv = false;
};

/// Null when there is no such architecture here.
const Architecture* find_architecture(std::string_view name) noexcept;

/// All of them, for messages: "llama, gpt2".
std::string architecture_names();

}  // namespace troupe
