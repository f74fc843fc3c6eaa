#pragma once
// The numbers that describe a model's layers, read from a checkpoint and checked.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/checkpoint.hpp"
#include "model/architecture.hpp"
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
  bool gelu_f16 = false;       ///< gelu by way of f16, as ggml has it; only with FeedForwardKind::gelu_plain
  std::uint32_t rope_dim = 0;  ///< leading elements of a head that are rotated; even; 0: none is
  /// Angle per position for each pair, [rope_dim / 2]: base^(-2i / rope_dim), with the file's scaling
  /// applied.
  std::vector<double> rope_frequencies;

  std::size_t q_width() const { return std::size_t{heads} * head_dim; }
  std::size_t kv_width() const { return std::size_t{kv_heads} * head_dim; }
};

/// Reads and checks the configuration. Errors: unsupported (architecture or scaling, named), bad_file (the
/// key and its value).
Result<ModelConfig> read_config(const Checkpoint& checkpoint);

}  // namespace troupe
