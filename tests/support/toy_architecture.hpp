#pragma once
// Small random models of every architecture, and of the variants that files of them come in.

#include <string>
#include <utility>
#include <vector>

#include "model/model_parts.hpp"

namespace troupe::test {

struct ToyArchitecture {
  std::string name;  ///< of the case
  std::string architecture;
  std::vector<std::pair<std::string, MetadataValue>> keys = {};  ///< without "architecture."
  std::uint32_t layers = 2;
  std::uint32_t head_dim = 16;
  std::uint32_t kv_heads = 2;
  bool qkv_bias = false;
  bool other_biases = false;  ///< of the other matrices, but the output
  bool output_bias = false;
  bool tied = false;
  bool ffn_norm = true;
  bool attn_norm_2 = false;
  bool head_norms = false;  ///< of queries and keys, where files have them or not
  /// Tensors of divisors of the rotation's frequencies, growing from 1 to the number.
  std::vector<std::pair<std::string, double>> rope_tensors = {};
};

/// All cases. Their width is 64 and their heads are 4, their vocabulary add_toy_vocabulary()'s.
const std::vector<ToyArchitecture>& toy_architectures();

/// F32 weights that are a function of the case's description alone.
Checkpoint toy_checkpoint(const ToyArchitecture& toy);

}  // namespace troupe::test
