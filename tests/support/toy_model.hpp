#pragma once
// A small model with random weights, made in memory: real layers, real tokenizer, no file.

#include <memory>
#include <string>

#include "model/model_parts.hpp"

namespace troupe::test {

struct ToyShape {
  std::uint32_t layers = 2;
  std::uint32_t width = 64;
  std::uint32_t heads = 4;
  std::uint32_t kv_heads = 2;
  std::uint32_t ffn_width = 96;
  std::uint32_t context_tokens = 512;
  TensorType type = TensorType::f32;  // of the matrices
  bool tied_output = false;
  std::uint64_t seed = 1;
};

/// A llama-architecture checkpoint with 259 + 26 SPM tokens: <unk>, <s>, </s>, the bytes, and the letters.
Checkpoint toy_checkpoint(const ToyShape& shape = {});

std::shared_ptr<const Model> toy_model(const ToyShape& shape = {});

}  // namespace troupe::test
