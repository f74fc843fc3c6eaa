#include "kernels/top_values.hpp"

#include <algorithm>
#include <limits>

#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/top_values.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// A comparison with NaN is false, so it never replaces what is there.
HWY_INLINE Floats16 larger(const Floats16& best, const Floats16& v) {
  return map16([&](auto p) TROUPE_LAMBDA {
    return hn::IfThenElse(hn::Gt(v.part[p], best.part[p]), v.part[p], best.part[p]);
  });
}

void maxima_of_blocks(const float* values, std::size_t n, float* maxima) {
  constexpr float never = -std::numeric_limits<float>::infinity();
  for (; n >= maxima_block; n -= maxima_block, values += maxima_block) {
    Floats16 best[4];  // independent, so that comparisons need not wait for each other
    unroll<4>([&](auto i) TROUPE_LAMBDA { best[i] = larger(set16(never), load16(values + 16 * i)); });
    unroll<4>([&](auto i) TROUPE_LAMBDA { best[i] = larger(best[i], load16(values + 64 + 16 * i)); });
    *maxima++ = max16(max(max(best[0], best[1]), max(best[2], best[3])));
  }
  if (n == 0) return;
  Floats16 best = set16(never);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) best = larger(best, load16(values + i));
  if (i < n) best = larger(best, load_tail(values + i, n - i, never));
  *maxima = max16(best);
}

/// Appends what is at least `least` of one block, but of values equal to it no more than `equals`, from which
/// it takes off what it appends.
void at_least(const float* values, std::size_t n, std::int32_t index, float least, std::size_t& equals,
              std::vector<IndexedValue>& out) {
  const auto consider = [&](std::size_t i) {
    if (!(values[i] >= least)) return;
    if (values[i] == least) {
      if (equals == 0) return;
      --equals;
    }
    out.push_back({index + static_cast<std::int32_t>(i), values[i]});
  };
  const FloatVector limit = hn::Set(FloatTag(), least);
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    if (hn::AllFalse(FloatTag(), hn::Ge(hn::LoadU(FloatTag(), values + i), limit))) continue;
    for (std::size_t j = i; j < i + lanes; ++j) consider(j);
  }
  for (; i < n; ++i) consider(i);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(maxima_of_blocks);
HWY_EXPORT(at_least);

void block_maxima(std::span<const float> values, float* maxima) {
  HWY_DYNAMIC_DISPATCH(maxima_of_blocks)(values.data(), values.size(), maxima);
}

void top_values(std::span<const float> values, std::span<const float> maxima, std::size_t count,
                std::vector<IndexedValue>& top) {
  top.clear();
  if (count == 0) return;
  // As many values as there are blocks to be kept are at least as large as the smallest of their maxima. The
  // smallest number above -infinity stands for "all".
  float least = std::numeric_limits<float>::lowest();
  if (count < maxima.size()) {
    for (const float maximum : maxima) top.push_back({0, maximum});
    const auto last = top.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(top.begin(), last, top.end(),
                     [](const IndexedValue& a, const IndexedValue& b) { return a.value > b.value; });
    least = std::max(least, last->value);
    top.clear();
  }
  std::size_t equals = count;
  for (std::size_t block = 0; block < maxima.size(); ++block) {
    if (!(maxima[block] >= least)) continue;
    const std::size_t begin = block * maxima_block;
    const std::size_t n = std::min(maxima_block, values.size() - begin);
    HWY_DYNAMIC_DISPATCH(at_least)
    (values.data() + begin, n, static_cast<std::int32_t>(begin), least, equals, top);
  }
  keep_largest(top, count);
}

void keep_largest(std::vector<IndexedValue>& values, std::size_t count) {
  const auto by_index = [](const IndexedValue& a, const IndexedValue& b) { return a.index < b.index; };
  if (values.size() > count) {
    const auto better = [](const IndexedValue& a, const IndexedValue& b) {
      return a.value != b.value ? a.value > b.value : a.index < b.index;
    };
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(count), values.end(),
                     better);
    values.resize(count);
  }
  if (!std::is_sorted(values.begin(), values.end(), by_index))
    std::sort(values.begin(), values.end(), by_index);
}

}  // namespace troupe
#endif
