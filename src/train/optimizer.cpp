#include "train/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/adam.hpp"

namespace troupe::train {
namespace {

// Floats that one task takes; sums of squares are added up slice by slice.
constexpr std::size_t slice = 1U << 15;

constexpr std::size_t slices_of(std::size_t count) {
  return (count + slice - 1) / slice;
}

}  // namespace

Optimizer::Optimizer(const ParameterLayout& layout, AdamOptions options, ThreadPool& pool)
    : layout_(layout),
      options_(options),
      pool_(pool),
      means_(layout.count),
      squares_(layout.count),
      sums_(slices_of(layout.count)) {
  std::fill_n(means_.data(), means_.size(), 0.0f);
  std::fill_n(squares_.data(), squares_.size(), 0.0f);
}

double Optimizer::gradient_norm(const float* gradients) {
  pool_.parallel_for(sums_.size(), [&](std::size_t i, unsigned) {
    sums_[i] = train_sum_of_squares(gradients + i * slice, std::min(slice, layout_.count - i * slice));
  });
  double sum = 0;
  for (std::size_t i = 0; i < sums_.size(); ++i) sum += sums_[i];
  return std::sqrt(sum);
}

double Optimizer::update(float* parameters, const float* gradients, std::uint64_t step, double rate) {
  const double norm = gradient_norm(gradients);
  if (!std::isfinite(norm)) return norm;
  AdamStep adam;
  adam.gradient_scale =
      options_.clip > 0 && norm > options_.clip ? static_cast<float>(options_.clip / norm) : 1.0f;
  adam.rate = static_cast<float>(rate);
  adam.beta1 = static_cast<float>(options_.beta1);
  adam.beta2 = static_cast<float>(options_.beta2);
  adam.eps = static_cast<float>(options_.eps);
  const double t = static_cast<double>(step) + 1;
  adam.correction1 = static_cast<float>(1 / (1 - std::pow(options_.beta1, t)));
  adam.correction2 = static_cast<float>(1 / (1 - std::pow(options_.beta2, t)));
  for (const Parameter& p : layout_.parameters) {
    adam.decay = p.decays ? static_cast<float>(options_.decay) : 0.0f;
    pool_.parallel_for(slices_of(p.count), [&](std::size_t i, unsigned) {
      const std::size_t at = p.offset + i * slice;
      train_adam(adam, gradients + at, std::min(slice, p.count - i * slice), parameters + at,
                 means_.data() + at, squares_.data() + at);
    });
  }
  return norm;
}

}  // namespace troupe::train
