#pragma once
// What a Model is made of, for the rooms that compute with it.

#include <memory>

#include "model/config.hpp"
#include "model/weights.hpp"
#include "template/chat_format.hpp"
#include "troupe/model.hpp"

namespace troupe {

/// Immutable once a Model holds it.
struct ModelParts {
  ModelInfo info;
  bool all_f32 = false;  ///< every tensor of the file is F32
  ModelConfig config;
  Weights weights;
  std::unique_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<const ChatFormat> chat;  // refers to the tokenizer
};

/// A model from an opened checkpoint: what Model::open() does behind the file. `name` is used where the
/// metadata has none.
Result<std::shared_ptr<const Model>> load_model(const Checkpoint& checkpoint, const std::string& name,
                                                const ModelOptions& options, const LoadProgress& progress);

}  // namespace troupe
