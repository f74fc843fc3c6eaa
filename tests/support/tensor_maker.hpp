#pragma once
// Tensors with random values for models that exist in a test only.

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "formats/checkpoint.hpp"
#include "kernels/quantize.hpp"
#include "kernels/samples.hpp"

namespace troupe::test {

/// Adds tensors to a checkpoint, whose values are a function of the seed and of the order in which they are
/// added; storage() keeps their bytes.
class TensorMaker {
 public:
  TensorMaker(Checkpoint& checkpoint, std::uint64_t seed) : checkpoint_(checkpoint), seed_(seed) {}

  /// Random values, near enough to normal.
  void add(std::string name, TensorType type, std::vector<std::uint64_t> dims, float deviation,
           float mean = 0) {
    std::uint64_t elements = 1;
    for (const std::uint64_t dim : dims) elements *= dim;
    if (!encoding_supported(type)) {
      Samples samples(seed_ * 1000 + counter_++);
      append(std::move(name), type, std::move(dims),
             random_blocks(type, elements, deviation * scale_of(type), samples));
      return;
    }
    std::vector<float> values(elements);
    for (float& value : values) {
      // Sum of three uniforms: variance 1/4.
      const double sum = draw() + draw() + draw() - 1.5;
      value = mean + deviation * static_cast<float>(2 * sum);
    }
    add(std::move(name), type, std::move(dims), values);
  }

  void add(std::string name, TensorType type, std::vector<std::uint64_t> dims,
           const std::vector<float>& values) {
    const std::size_t cols = dims.back();
    const std::size_t row_bytes = encoded_bytes(type, cols);
    std::vector<std::byte> bytes(values.size() / cols * row_bytes);
    for (std::size_t r = 0; r < values.size() / cols; ++r) {
      encode_row(type, std::span(values).subspan(r * cols, cols),
                 std::span(bytes).subspan(r * row_bytes, row_bytes));
    }
    append(std::move(name), type, std::move(dims), std::move(bytes));
  }

  std::shared_ptr<const void> storage() const { return buffers_; }

 private:
  double draw() { return uniform_at(seed_, counter_++); }

  void append(std::string name, TensorType type, std::vector<std::uint64_t> dims,
              std::vector<std::byte> bytes) {
    TensorView tensor;
    tensor.name = std::move(name);
    tensor.type = type;
    tensor.dims = std::move(dims);
    tensor.data = buffers_->emplace_back(std::move(bytes));
    checkpoint_.tensors.push_back(std::move(tensor));
  }

  /// With random codes under an f16 of about this, weights deviate by about 1.
  static float scale_of(TensorType type) {
    switch (type) {
      case TensorType::q2_k: return 1 / 12.0F;
      case TensorType::q3_k: return 1 / 40.0F;
      case TensorType::iq4_xs: return 1 / 1000.0F;
      default: return 1 / 64.0F;
    }
  }

  Checkpoint& checkpoint_;
  std::uint64_t seed_;
  std::uint64_t counter_ = 0;
  std::shared_ptr<std::deque<std::vector<std::byte>>> buffers_ =
      std::make_shared<std::deque<std::vector<std::byte>>>();
};

/// 285 SPM tokens: <unk>, <s>, </s>, the bytes, and the letters.
void add_toy_vocabulary(Metadata& metadata);
inline constexpr std::uint64_t toy_vocab = 3 + 256 + 26;

}  // namespace troupe::test
