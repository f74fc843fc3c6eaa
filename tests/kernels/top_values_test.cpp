#include "kernels/top_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/samples.hpp"
#include "kernels/soft_weights.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

/// By sorting all of them.
std::vector<IndexedValue> expected_top(const std::vector<float>& values, std::size_t count) {
  std::vector<IndexedValue> all;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] > -infinity) all.push_back({static_cast<std::int32_t>(i), values[i]});
  }
  std::stable_sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.value > b.value; });
  all.resize(std::min(all.size(), count));
  std::sort(all.begin(), all.end(), [](auto& a, auto& b) { return a.index < b.index; });
  return all;
}

void check_on_every_target(const std::vector<float>& values, std::size_t count) {
  const std::vector<IndexedValue> expected = expected_top(values, count);
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    INFO(target << ", " << count << " of " << values.size());
    std::vector<float> maxima(maxima_blocks(values.size()));
    block_maxima(values, maxima.data());
    std::vector<IndexedValue> top = {{7, 7}};
    top.reserve(top_values_room(values.size(), count));
    const std::size_t room = top.capacity();
    top_values(values, maxima, count, top);
    CHECK(top == expected);
    CHECK(top.capacity() == room);
  }
}

constexpr std::size_t sizes[] = {0, 1, 5, 16, 17, 127, 128, 129, 1000, 5003};
constexpr std::size_t counts[] = {0, 1, 2, 3, 40, 10'000};

}  // namespace

TEST_CASE("the largest values are found wherever they lie", "[kernels]") {
  for (const std::size_t n : sizes) {
    Samples samples(n);
    const std::vector<float> values = samples.values(n, 20);
    for (const std::size_t count : counts) check_on_every_target(values, count);
  }
}

TEST_CASE("of equal values those in front are the largest", "[kernels]") {
  for (const std::size_t n : sizes) {
    Samples samples(n);
    std::vector<float> values(n);
    for (float& v : values) v = static_cast<float>(samples.below(4));
    for (const std::size_t count : counts) check_on_every_target(values, count);
    std::fill(values.begin(), values.end(), -1.0f);
    for (const std::size_t count : counts) check_on_every_target(values, count);
  }
}

TEST_CASE("infinities take their places, NaN none", "[kernels]") {
  for (const std::size_t n : sizes) {
    Samples samples(n);
    for (const float odd : {infinity, -infinity, nan_value, std::numeric_limits<float>::lowest()}) {
      for (const std::size_t every : {1, 2, 3, 300}) {
        std::vector<float> values = samples.values(n, 20);
        for (std::size_t i = 0; i < n; i += every) values[i] = odd;
        for (const std::size_t count : counts) check_on_every_target(values, count);
      }
    }
  }
}

TEST_CASE("a row in a few ascending runs, where each block's largest is its last", "[kernels]") {
  std::vector<float> values(3000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 1100);
  for (const std::size_t count : counts) check_on_every_target(values, count);
}

TEST_CASE("weights of a draw and their sums are right on every target", "[kernels]") {
  for (const std::size_t n : sizes) {
    Samples samples(n);
    std::vector<float> values = samples.values(n, 20);
    if (n > 3) values[1] = -infinity, values[3] = nan_value;
    float largest = -20;
    for (const float v : values) largest = std::max(largest, v);  // a comparison with NaN is false
    for (const float temperature : {0.1f, 1.0f, 3.0f}) {
      for (const std::string& target : kernel_targets()) {
        const WithTarget with(target);
        INFO(target << ", " << n << " at " << temperature);
        std::vector<float> weights(n), sums(maxima_blocks(n));
        soft_weights(values, largest, temperature, weights.data());
        soft_weight_sums(values, largest, temperature, sums.data());
        for (std::size_t block = 0; block < sums.size(); ++block) {
          double sum = 0;
          for (std::size_t i = block * maxima_block; i < std::min(n, (block + 1) * maxima_block); ++i) {
            const double exact =
                std::isnan(values[i])
                    ? 0
                    : std::exp((static_cast<double>(values[i]) - static_cast<double>(largest)) /
                               static_cast<double>(temperature));
            // The quotient is rounded before it is an exponent.
            CHECK(static_cast<double>(weights[i]) == Approx(exact).epsilon(1e-5).margin(1e-37));
            sum += exact;
          }
          CHECK(static_cast<double>(sums[block]) == Approx(sum).epsilon(1e-5).margin(1e-36));
        }
      }
    }
  }
}
