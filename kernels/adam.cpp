#include "kernels/adam.hpp"

#include <algorithm>

#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/adam.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/parts-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

double sum_of_squares(const float* x, std::size_t n) {
  double total = 0;
  for (std::size_t begin = 0; begin < n; begin += 4096) {
    const std::size_t end = std::min(n, begin + 4096);
    Floats16 sums = set16(0);
    for (std::size_t i = begin; i < end; i += 16) {
      const Floats16 v = part16(x, i, end);
      sums = mul_add(v, v, sums);
    }
    total += static_cast<double>(sum16(sums));
  }
  return total;
}

void adam(const AdamStep& s, const float* gradient, std::size_t n, float* parameter, float* mean,
          float* square) {
  const Floats16 clip = set16(s.gradient_scale), beta1 = set16(s.beta1), rest1 = set16(1 - s.beta1);
  const Floats16 beta2 = set16(s.beta2), rest2 = set16(1 - s.beta2), eps = set16(s.eps);
  const Floats16 keep = set16(1 - s.rate * s.decay), rate = set16(-s.rate * s.correction1);
  const Floats16 correction2 = set16(s.correction2);
  for (std::size_t i = 0; i < n; i += 16) {
    const Floats16 g = mul(part16(gradient, i, n), clip);
    const Floats16 m = mul_add(part16(mean, i, n), beta1, mul(g, rest1));
    const Floats16 v = mul_add(part16(square, i, n), beta2, mul(mul(g, g), rest2));
    const Floats16 root =
        map16([&](auto p) TROUPE_LAMBDA { return hn::Sqrt(hn::Mul(v.part[p], correction2.part[p])); });
    const Floats16 bottom = add(root, eps);
    const Floats16 ratio = map16([&](auto p) TROUPE_LAMBDA { return hn::Div(m.part[p], bottom.part[p]); });
    put16(m, mean, i, n);
    put16(v, square, i, n);
    put16(mul_add(ratio, rate, mul(part16(parameter, i, n), keep)), parameter, i, n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(sum_of_squares);
HWY_EXPORT(adam);

double train_sum_of_squares(const float* x, std::size_t n) {
  return HWY_DYNAMIC_DISPATCH(sum_of_squares)(x, n);
}
void train_adam(const AdamStep& step, const float* gradient, std::size_t n, float* parameter, float* mean,
                float* square) {
  HWY_DYNAMIC_DISPATCH(adam)(step, gradient, n, parameter, mean, square);
}

}  // namespace troupe
#endif
