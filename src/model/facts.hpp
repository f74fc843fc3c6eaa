#pragma once
// What can be known of a model from its file without loading it.

#include <cstdint>
#include <string>

#include "formats/checkpoint.hpp"
#include "model/config.hpp"
#include "troupe/error.hpp"

namespace troupe {

struct ModelFacts {
  ModelConfig config;
  std::uint64_t weight_bytes = 0;  ///< in memory, once it is loaded
  bool all_f32 = false;            ///< keys and values are f32 then, else f16, unless asked otherwise
  std::uint64_t kv_bytes_per_1024_tokens = 0;
  std::uint64_t kv_bytes_per_1024_tokens_q8_0 = 0;  ///< if it is asked for
};

/// The error says why the model could not be loaded: it is the one that loading would give, but for the
/// tokenizer's.
Result<ModelFacts> model_facts(const Checkpoint& checkpoint);

/// "rotary, base 10000, all 64 of a head, linear scaling by 4": the positions, for people.
std::string positions_text(const Checkpoint& checkpoint, const ModelConfig& config);

/// "32 layers of 4096, 32 heads of 128, 8 of them for keys and values, feed-forward 14336": the shape, for
/// people.
std::string shape_text(const ModelConfig& config);

}  // namespace troupe
