#include "kernels/ops.hpp"

#include <algorithm>
#include <limits>

#include "kernels/f16.hpp"
#include "kernels/reference/reference.hpp"
#include "kernels/samples.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::size_t sizes[] = {1, 2, 7, 15, 16, 17, 31, 48, 64, 100, 257, 2048};

void check_close(std::span<const float> got, std::span<const double> expected, double relative,
                 double absolute) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("at " << i << ": " << got[i] << ", expected " << expected[i]);
    REQUIRE(std::fabs(got[i] - expected[i]) <= relative * std::fabs(expected[i]) + absolute);
  }
}

/// Calls run() on every target; results of those with fused multiply-add must have the same bits.
template <class Run>
void on_every_target(Run run) {
  std::vector<float> first;
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    INFO(target);
    const std::vector<float> got = run();
    if (!has_fused_multiply_add(target)) continue;
    if (first.empty()) first = got;
    CHECK(same_bits(got, first));
  }
}

}  // namespace

TEST_CASE("rms_norm agrees with the reference, also in place", "[kernels][ops]") {
  for (const std::size_t cols : sizes) {
    Samples samples(cols);
    const std::vector<float> x = samples.values(3 * cols, 4), weight = samples.values(cols);
    on_every_target([&] {
      std::vector<float> out(x.size()), in_place = x;
      rms_norm(x.data(), weight.data(), 1e-5f, 3, cols, out.data());
      rms_norm(in_place.data(), weight.data(), 1e-5f, 3, cols, in_place.data());
      CHECK(same_bits(out, in_place));
      for (std::size_t r = 0; r < 3; ++r)
        check_close(std::span(out).subspan(r * cols, cols),
                    reference::rms_norm(std::span(x).subspan(r * cols, cols), weight, 1e-5f), 1e-6, 1e-12);
      return out;
    });
  }
}

TEST_CASE("layer_norm agrees with the reference, also in place", "[kernels][ops]") {
  for (const std::size_t cols : sizes) {
    Samples samples(cols);
    std::vector<float> x = samples.values(3 * cols, 4);
    for (std::size_t i = cols; i < 2 * cols; ++i) x[i] += 300;  // a mean far larger than the deviation
    const std::vector<float> weight = samples.values(cols), bias = samples.values(cols);
    on_every_target([&] {
      std::vector<float> out(x.size()), in_place = x;
      layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, 3, cols, out.data());
      layer_norm(in_place.data(), weight.data(), bias.data(), 1e-5f, 3, cols, in_place.data());
      CHECK(same_bits(out, in_place));
      for (std::size_t r = 0; r < 3; ++r) {
        // The mean is rounded to f32: half an ulp of 300, over a deviation of 2.3.
        const double absolute = r == 1 ? 3e-5 : 2e-6;
        check_close(std::span(out).subspan(r * cols, cols),
                    reference::layer_norm(std::span(x).subspan(r * cols, cols), weight, bias, 1e-5f), 1e-6,
                    cols < 3 ? 100 * absolute : absolute);
      }
      return out;
    });
  }
}

TEST_CASE("add_in_place adds", "[kernels][ops]") {
  for (const std::size_t n : sizes) {
    Samples samples(n);
    const std::vector<float> x = samples.values(n), y = samples.values(n);
    on_every_target([&] {
      std::vector<float> out = x;
      add_in_place(out.data(), y.data(), n);
      for (std::size_t i = 0; i < n; ++i) REQUIRE(out[i] == x[i] + y[i]);
      return out;
    });
  }
}

TEST_CASE("silu_mul agrees with the reference over the whole range of float", "[kernels][ops]") {
  std::vector<float> gate{0.0f,  -0.0f,  1e-30f, 88.0f,    90.0f, 1000.0f,
                          3e38f, -88.0f, -90.0f, -1000.0f, -3e38f};
  Samples samples(3);
  for (int i = 0; i < 5000; ++i) gate.push_back(samples.value(i % 2 == 0 ? 8.0f : 80.0f));
  const std::vector<float> up = samples.values(gate.size(), 2);
  on_every_target([&] {
    std::vector<float> out = gate;
    silu_mul(out.data(), up.data(), out.size());
    check_close(out, reference::silu_mul(gate, up), 1e-6, 1e-34);
    return out;
  });
}

TEST_CASE("silu_mul gives an element the same bits wherever it stands", "[kernels][ops]") {
  Samples samples(4);
  const std::vector<float> gate = samples.values(40, 9), up = samples.values(40);
  on_every_target([&] {
    std::vector<float> all = gate;
    silu_mul(all.data(), up.data(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      float one = gate[i];
      silu_mul(&one, &up[i], 1);
      CHECK(same_bits({&one, 1}, {&all[i], 1}));
    }
    return all;
  });
}

TEST_CASE("gelu agrees with its tanh form over the whole range of float", "[kernels][ops]") {
  std::vector<float> x{0.0f,  -0.0f, 1e-30f, -1e-30f, 1.0f,    -1.0f, 5.0f,
                       -5.0f, 10.0f, -12.0f, 1000.0f, -1000.f, 3e38f, -3e38f};
  Samples samples(5);
  for (int i = 0; i < 5000; ++i) x.push_back(samples.value(i % 2 == 0 ? 3.0f : 12.0f));
  on_every_target([&] {
    std::vector<float> out = x;
    gelu(out.data(), out.size());
    // Far below zero the tanh form cancels, in double too; the value there is below 1e-6 and irrelevant.
    check_close(out, reference::gelu(x), 2e-6, 1e-12);
    return out;
  });
}

TEST_CASE("gelu gives an element the same bits wherever it stands", "[kernels][ops]") {
  Samples samples(6);
  const std::vector<float> x = samples.values(40, 4);
  on_every_target([&] {
    std::vector<float> all = x;
    gelu(all.data(), all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      float one = x[i];
      gelu(&one, 1);
      CHECK(same_bits({&one, 1}, {&all[i], 1}));
    }
    return all;
  });
}

TEST_CASE("gelu_f16 rounds argument and result to f16, and knows its ends", "[kernels][ops]") {
  std::vector<float> x{-10.0f, -11.0f, -3e38f, 10.0f, 10.01f, 3e38f, 0.0f};
  Samples samples(7);
  while (x.size() < 3000) x.push_back(samples.value(9.99f));
  on_every_target([&] {
    std::vector<float> out = x;
    gelu_f16(out.data(), out.size());
    CHECK(std::vector<float>(out.begin(), out.begin() + 7) ==
          std::vector<float>{0, 0, 0, 10.0f, 10.01f, 3e38f, 0});
    for (std::size_t i = 7; i < x.size(); ++i) {
      const float argument = f16_to_f32(f32_to_f16(x[i]));
      const double expected = reference::gelu({&argument, 1})[0];
      INFO(x[i]);
      CHECK(f16_to_f32(f32_to_f16(out[i])) == out[i]);
      REQUIRE(std::fabs(out[i] - expected) <= 0x1.01p-11 * std::fabs(expected) + 0x1.01p-25);
    }
    return out;
  });
}

TEST_CASE("soft_cap agrees with its tanh form and never leaves the cap", "[kernels][ops]") {
  std::vector<float> x{0.0f, 1e-30f, 1e4f, -1e4f, 3e38f, -3e38f};
  Samples samples(8);
  for (int i = 0; i < 3000; ++i) x.push_back(samples.value(i % 2 == 0 ? 1.0f : 90.0f));
  for (const float cap : {1.0f, 30.0f}) {
    on_every_target([&] {
      std::vector<float> out = x;
      soft_cap(out.data(), cap, out.size());
      check_close(out, reference::soft_cap(x, cap), 0, 4e-7 * static_cast<double>(cap));
      for (const float value : out) REQUIRE(std::fabs(value) <= cap);
      float one = x[7];
      soft_cap(&one, cap, 1);
      CHECK(same_bits({&one, 1}, {&out[7], 1}));
      return out;
    });
  }
}

TEST_CASE("relu_squared, products and scales are those of plain code", "[kernels][ops]") {
  for (const std::size_t n : sizes) {
    Samples samples(n + 9);
    const std::vector<float> x = samples.values(n, 5), y = samples.values(n, 2);
    on_every_target([&] {
      std::vector<float> squared = x, product = x, scaled = x;
      relu_squared(squared.data(), n);
      mul_in_place(product.data(), y.data(), n);
      scale_in_place(scaled.data(), 0.3f, n);
      check_close(squared, reference::relu_squared(x), 1e-7, 0);
      for (std::size_t i = 0; i < n; ++i) {
        REQUIRE(product[i] == x[i] * y[i]);
        REQUIRE(scaled[i] == x[i] * 0.3f);
      }
      return squared;
    });
  }
}

TEST_CASE("relu_squared of NaN is NaN", "[kernels][ops]") {
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    std::vector<float> x(19, -1.0f);
    x[3] = x[17] = std::nanf("");
    relu_squared(x.data(), x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      INFO(target << " at " << i);
      CHECK((i == 3 || i == 17 ? std::isnan(x[i]) : x[i] == 0));
    }
  }
}

TEST_CASE("softmax agrees with the reference and sums to one", "[kernels][ops]") {
  for (const std::size_t n : sizes)
    for (const float scale : {0.01f, 3.0f, 60.0f}) {
      Samples samples(n);
      std::vector<float> x = samples.values(n, scale);
      x[n / 2] += 500;  // the largest is subtracted first, so large inputs do no harm
      on_every_target([&] {
        std::vector<float> out = x;
        softmax(out.data(), n);
        check_close(out, reference::softmax(x), 2e-6, 1e-30);
        double sum = 0;
        for (const float p : out) sum += p;
        CHECK(std::fabs(sum - 1) < 1e-5);
        return out;
      });
    }
}

TEST_CASE("softmax gives nothing to minus infinity and keeps NaN visible", "[kernels][ops]") {
  on_every_target([&] {
    std::vector<float> x(20, 1.0f);
    x[3] = x[19] = -std::numeric_limits<float>::infinity();
    softmax(x.data(), x.size());
    CHECK(x[3] == 0);
    CHECK(x[19] == 0);
    CHECK(std::fabs(x[0] - 1.0 / 18) < 1e-8);
    std::vector<float> bad(20, 1.0f);
    bad[5] = std::nanf("");
    softmax(bad.data(), bad.size());
    CHECK(std::isnan(bad[5]));
    return x;
  });
}

TEST_CASE("rope turns pairs as the reference does, in both styles, and leaves the rest alone",
          "[kernels][ops]") {
  for (const RopeStyle style : {RopeStyle::adjacent, RopeStyle::halves})
    for (const std::size_t head_dim : {2, 8, 20, 64, 80, 128})
      for (const std::size_t rope_dim : {head_dim, head_dim / 4 * 2}) {
        Samples samples(head_dim);
        const std::size_t heads = 3;
        const std::vector<float> x = samples.values(heads * head_dim);
        std::vector<float> cosines, sines;
        for (std::size_t i = 0; i < rope_dim / 2; ++i) {
          const double angle = samples.value(3);
          cosines.push_back(static_cast<float>(std::cos(angle)));
          sines.push_back(static_cast<float>(std::sin(angle)));
        }
        on_every_target([&] {
          std::vector<float> out = x;
          rope(style, out.data(), heads, head_dim, rope_dim, cosines.data(), sines.data());
          for (std::size_t h = 0; h < heads; ++h) {
            const auto head = std::span(x).subspan(h * head_dim, head_dim);
            check_close(std::span(out).subspan(h * head_dim, head_dim),
                        reference::rope(style, head, cosines, sines), 0, 4e-7);
            for (std::size_t i = rope_dim; i < head_dim; ++i) CHECK(out[h * head_dim + i] == head[i]);
          }
          return out;
        });
      }
}
