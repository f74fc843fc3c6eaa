#include "kernels/soft_weights.hpp"

#include <algorithm>
#include <limits>

#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/soft_weights.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// take(weights, first, n): the weights of n values from `first` on, 16 unless they are the last.
template <class Take>
HWY_INLINE void each_weight(const float* values, std::size_t n, float largest, float temperature,
                            Take&& take) {
  const FloatTag d;
  constexpr float never = -std::numeric_limits<float>::infinity();
  const auto weights = [&](const Floats16& v) TROUPE_LAMBDA {
    return exp16(map16([&](auto p) TROUPE_LAMBDA {
      const FloatVector number = hn::IfThenElse(hn::Eq(v.part[p], v.part[p]), v.part[p], hn::Set(d, never));
      return hn::Div(hn::Sub(number, hn::Set(d, largest)), hn::Set(d, temperature));
    }));
  };
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) take(weights(load16(values + i)), i, std::size_t{16});
  if (i < n) take(weights(load_tail(values + i, n - i, never)), i, n - i);
}

void weights_of(const float* values, std::size_t n, float largest, float temperature, float* out) {
  each_weight(values, n, largest, temperature,
              [&](const Floats16& w, std::size_t i, std::size_t count) TROUPE_LAMBDA {
                if (count == 16)
                  store16(w, out + i);
                else
                  store_tail(w, out + i, count);
              });
}

void sums_of_blocks(const float* values, std::size_t n, float largest, float temperature, float* sums) {
  for (std::size_t begin = 0; begin < n; begin += maxima_block) {
    Floats16 sum = set16(0);
    each_weight(values + begin, std::min(maxima_block, n - begin), largest, temperature,
                [&](const Floats16& w, std::size_t, std::size_t) TROUPE_LAMBDA { sum = add(sum, w); });
    *sums++ = sum16(sum);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(weights_of);
HWY_EXPORT(sums_of_blocks);

void soft_weights(std::span<const float> values, float largest, float temperature, float* weights) {
  HWY_DYNAMIC_DISPATCH(weights_of)(values.data(), values.size(), largest, temperature, weights);
}

void soft_weight_sums(std::span<const float> values, float largest, float temperature, float* sums) {
  HWY_DYNAMIC_DISPATCH(sums_of_blocks)(values.data(), values.size(), largest, temperature, sums);
}

}  // namespace troupe
#endif
