#pragma once
// A model's weights while they are trained: one flat array, and what lies where in it.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/aligned.hpp"
#include "train/shape.hpp"

namespace troupe::train {

/// One tensor as the exported file names it.
struct Parameter {
  std::string name;                 ///< GGUF's
  std::vector<std::uint64_t> dims;  ///< outermost first
  std::size_t offset = 0;           ///< in floats
  std::size_t count = 0;
  bool decays = false;  ///< takes weight decay: matrices and embeddings do, norms and biases do not
  float spread = 0;     ///< standard deviation of the initial values; 0: all are `fill`
  float fill = 0;
};

/// Offsets of one layer's tensors. Those that the style lacks are 0 and never read. Matrices are [out, in];
/// `qkv` and `up` are several tensors of the file that lie behind each other and are multiplied as one.
struct LayerOffsets {
  std::size_t norm1 = 0, norm1_bias = 0;  ///< [width]
  std::size_t qkv = 0, qkv_bias = 0;      ///< [qkv_width, width], [qkv_width]
  std::size_t out = 0, out_bias = 0;      ///< [width, width], [width]
  std::size_t norm2 = 0, norm2_bias = 0;  ///< [width]
  std::size_t up = 0, up_bias = 0;        ///< [up_width, width], [up_width]; gate before up
  std::size_t down = 0, down_bias = 0;    ///< [width, ffn], [width]
};

/// Where everything lies in a flat array of `count` floats.
struct ParameterLayout {
  explicit ParameterLayout(const ModelShape& shape);

  std::vector<Parameter> parameters;  ///< in order of offset
  std::vector<LayerOffsets> layers;
  std::size_t embedding = 0;            ///< [vocab, width]
  std::size_t positions = 0;            ///< [context, width], gpt2
  std::size_t norm = 0, norm_bias = 0;  ///< [width], before the head
  std::size_t head = 0;                 ///< [vocab, width]; the embedding's offset when tied
  std::size_t count = 0;

 private:
  std::size_t add(std::string name, std::vector<std::uint64_t> dims, float spread, float fill);
};

/// Initial values by GPT-2's rule: normal with deviation 0.02, the two matrices of a layer that write into
/// the residual stream with 0.02 / sqrt(2 layers), norms 1, biases 0. A function of layout and seed.
void initialize(const ParameterLayout& layout, std::uint64_t seed, float* values);

}  // namespace troupe::train
