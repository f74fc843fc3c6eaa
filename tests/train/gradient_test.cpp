#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "support/catch.hpp"
#include "train/network.hpp"
#include "train/reference_model.hpp"

using namespace troupe;
using namespace troupe::train;

namespace {

ModelShape small_shape(Style style, bool tied) {
  ModelShape s;
  s.style = style;
  s.vocab = 19;
  s.context = 70;  // more than one block of query rows, and no multiple of anything
  s.layers = 2;
  s.width = 24;
  s.heads = 4;
  s.kv_heads = style == Style::llama ? 2 : 4;
  s.ffn = 40;
  s.tied = tied;
  return s;
}

/// Values at which every tensor matters: initial ones are too small for attention to be anything but flat.
std::vector<float> lively_parameters(const ParameterLayout& layout) {
  std::vector<float> out(layout.count);
  for (const Parameter& p : layout.parameters) {
    const float scale = p.dims.size() > 1 ? 0.4f : 0.3f;
    for (std::size_t i = p.offset; i < p.offset + p.count; ++i)
      out[i] = p.fill + scale * (2 * static_cast<float>(uniform_at(7, i)) - 1);
  }
  return out;
}

struct Windows {
  std::vector<Token> inputs, targets;

  Windows(const ModelShape& shape, std::size_t count, std::size_t time) {
    for (std::size_t i = 0; i < count * time; ++i) {
      inputs.push_back(static_cast<Token>(uniform_at(3, i) * static_cast<double>(shape.vocab)));
      targets.push_back(static_cast<Token>(uniform_at(4, i) * static_cast<double>(shape.vocab)));
    }
  }
};

/// Compares the gradient with central differences of the reference, some elements of every tensor.
void check_gradients(const ModelShape& shape) {
  constexpr std::size_t windows = 2;
  const std::size_t time = shape.context - 3;  // a window may be shorter than the context
  ThreadPool pool(2);
  Network network(shape, windows, pool);
  const ParameterLayout& layout = network.layout();
  const auto parameters = lively_parameters(layout);
  const Windows text(shape, windows, time);
  std::vector<float> gradients(layout.count, 0.0f);
  const double loss = network.backward(parameters.data(), {text.inputs, text.targets, windows, time}, 1, {},
                                       gradients.data());

  const test::ReferenceModel reference(shape, layout);
  std::vector<double> p(parameters.begin(), parameters.end());
  CHECK(loss == Approx(reference.loss(p, text.inputs, text.targets, time)).epsilon(1e-5));
  CHECK(network.loss(parameters.data(), {text.inputs, text.targets, windows, time}) ==
        Approx(loss).epsilon(1e-6));
  for (const Parameter& tensor : layout.parameters) {
    float largest = 0;
    for (std::size_t i = 0; i < tensor.count; ++i)
      largest = std::max(largest, std::fabs(gradients[tensor.offset + i]));
    REQUIRE(largest > 0);
    for (int sample = 0; sample < 6; ++sample) {
      const auto index = static_cast<std::size_t>(uniform_at(9, static_cast<std::uint64_t>(sample)) *
                                                  static_cast<double>(tensor.count));
      const std::size_t at = tensor.offset + index;
      constexpr double distance = 1e-4;
      const double kept = p[at];
      p[at] = kept + distance;
      const double above = reference.loss(p, text.inputs, text.targets, time);
      p[at] = kept - distance;
      const double below = reference.loss(p, text.inputs, text.targets, time);
      p[at] = kept;
      const double expected = (above - below) / (2 * distance), found = static_cast<double>(gradients[at]);
      INFO(tensor.name << "[" << index << "]: " << found << ", by differences " << expected);
      // Elements far below their tensor's largest are zero but for rounding: those count absolutely.
      const double scale = std::max(std::fabs(expected), 0.01 * static_cast<double>(largest));
      CHECK(std::fabs(found - expected) / scale < 1e-3);
    }
  }
}

}  // namespace

TEST_CASE("llama-style gradients are those of the loss for every parameter kind", "[train][gradient]") {
  check_gradients(small_shape(Style::llama, true));
}

TEST_CASE("gradients of an output matrix of its own are those of the loss", "[train][gradient]") {
  check_gradients(small_shape(Style::llama, false));
}

TEST_CASE("gpt2-style gradients are those of the loss for every parameter kind", "[train][gradient]") {
  check_gradients(small_shape(Style::gpt2, true));
}

TEST_CASE("gradients with dropout are those of the loss under the same mask", "[train][gradient]") {
  // The reference has no dropout, so differences are taken of the network itself, in f32: coarser.
  ModelShape shape = small_shape(Style::llama, true);
  shape.layers = 1;
  ThreadPool pool(1);
  Network network(shape, 1, pool);
  auto parameters = lively_parameters(network.layout());
  const Windows text(shape, 1, shape.context);
  const WindowBatch batch{text.inputs, text.targets, 1, shape.context};
  const Dropout dropout{0.3f, 5, 11};
  std::vector<float> gradients(parameters.size(), 0.0f), ignored(parameters.size());
  const double loss = network.backward(parameters.data(), batch, 1, dropout, gradients.data());
  CHECK(std::fabs(loss - network.loss(parameters.data(), batch)) > 1e-3);  // it does drop something

  // Along the gradient itself the difference is large enough for f32.
  double square = 0;
  for (const float g : gradients) square += static_cast<double>(g) * static_cast<double>(g);
  constexpr float distance = 2e-3f;
  const auto norm = static_cast<float>(std::sqrt(square));
  std::vector<float> moved(parameters.size());
  const auto loss_at = [&](float along) {
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] = parameters[i] + along * gradients[i] / norm;
    return network.backward(moved.data(), batch, 1, dropout, ignored.data());
  };
  CHECK((loss_at(distance) - loss_at(-distance)) / (2 * static_cast<double>(distance)) ==
        Approx(std::sqrt(square)).epsilon(5e-3));
}

TEST_CASE("the number of threads changes no bit of loss or gradient", "[train][gradient]") {
  for (const Style style : {Style::llama, Style::gpt2}) {
    const ModelShape shape = small_shape(style, true);
    const Windows text(shape, 3, shape.context);
    std::vector<float> first;
    double first_loss = 0;
    for (const unsigned threads : {1u, 2u, 3u}) {
      ThreadPool pool(threads);
      Network network(shape, 3, pool);
      const auto parameters = lively_parameters(network.layout());
      std::vector<float> gradients(parameters.size(), 0.0f);
      const double loss = network.backward(parameters.data(), {text.inputs, text.targets, 3, shape.context},
                                           1, {0.1f, 1, 2}, gradients.data());
      if (first.empty()) first = gradients, first_loss = loss;
      CHECK(loss == first_loss);
      CHECK(std::memcmp(first.data(), gradients.data(), first.size() * sizeof(float)) == 0);
    }
  }
}
