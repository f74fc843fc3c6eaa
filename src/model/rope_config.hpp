#pragma once
// The angles of rotary positions: base, scaling and the factors that files bring.

#include <cstdint>
#include <vector>

#include "formats/checkpoint.hpp"
#include "model/architecture.hpp"
#include "model/key_reader.hpp"
#include "troupe/error.hpp"

namespace troupe {

/// How one kind of layer rotates. All vectors are [rope_dim / 2], a number per pair of elements.
struct RopeTable {
  std::vector<double> frequencies;  ///< angle per position
  /// The same for contexts beyond RopeConfig::original_context; empty where there is no difference.
  std::vector<double> long_frequencies;
  double magnitude = 1;  ///< multiplies what is rotated: cosines and sines alike
};

struct RopeConfig {
  std::uint32_t dim = 0;  ///< leading elements of a head that are rotated; even; 0: none is
  RopeTable full;         ///< of layers that see everything, or of all
  RopeTable windowed;     ///< of layers with a sliding window
  /// Of the context that the model was made for first, 0 where the file does not tell two sorts of factors
  /// apart: longer contexts use RopeTable::long_frequencies.
  std::uint32_t original_context = 0;
};

/// Reads the rotation's keys and tensors:
///   rope.freq_base b, rope.dimension_count d        θᵢ = b^(-2i/d) for pair i
///   rope.scaling.type linear, .factor s             θᵢ / s
///   rope.scaling.type yarn, .original_context_length c, .yarn_beta_fast, .yarn_beta_slow,
///   .yarn_log_multiplier
///       between θᵢ / s and θᵢ by how often a pair turns within c positions, and everything that is rotated
///       times 1 + 0.1 ln s (Peng et al., 2023, "YaRN", equations 22 and 23); with a log multiplier m
///       divided by 1 + 0.1 m ln s
///   rope.scaling.attn_factor                        multiplies what is rotated
///   tensor rope_freqs.weight f                      θᵢ / fᵢ (Llama 3)
///   tensors rope_factors_short.weight, _long.weight the same, by the length of the context (Phi 3)
/// Errors: unsupported (a scaling that is not known, named), bad_file.
Result<RopeConfig> read_rope(const Checkpoint& checkpoint, const KeyReader& keys,
                             const Architecture& architecture, std::uint32_t head_dim,
                             std::uint32_t context_tokens);

/// Whether `name` is one of the tensors that read_rope() reads.
bool is_rope_tensor(std::string_view name);

}  // namespace troupe
