#include "kernels/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

#include "kernels/reference/reference.hpp"
#include "kernels/samples.hpp"
#include "kernels/targets.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

struct Size {
  std::size_t m, n, k;
};

// Below, at and above tiles, panels and blocks of k; no two alike.
constexpr Size sizes[] = {{1, 1, 1},    {2, 3, 5},     {7, 17, 1},   {13, 31, 33},  {16, 16, 16},
                          {25, 33, 67}, {64, 129, 15}, {97, 65, 40}, {5, 300, 700}, {61, 47, 1031}};
constexpr GemmForm forms[] = {GemmForm::ab, GemmForm::abt, GemmForm::atb};

/// One product in a form, with operands and result in wider matrices than they need.
struct Product {
  GemmForm form;
  Size size;
  std::size_t a_cols, b_cols;
  std::vector<float> a, b, before;

  Product(GemmForm form_, Size size_) : form(form_), size(size_) {
    Samples samples(size.m * 7919 + size.n * 104729 + size.k);
    a_cols = (form == GemmForm::atb ? size.m : size.k) + 3;
    b_cols = (form == GemmForm::abt ? size.k : size.n) + 5;
    a = samples.values((form == GemmForm::atb ? size.k : size.m) * a_cols);
    b = samples.values((form == GemmForm::abt ? size.n : size.k) * b_cols);
    before = samples.values(size.m * stride());
  }

  std::size_t stride() const { return size.n + 2; }
  double a_at(std::size_t i, std::size_t k) const {
    return static_cast<double>(form == GemmForm::atb ? a[k * a_cols + i] : a[i * a_cols + k]);
  }
  double b_at(std::size_t k, std::size_t j) const {
    return static_cast<double>(form == GemmForm::abt ? b[j * b_cols + k] : b[k * b_cols + j]);
  }

  std::vector<float> run(unsigned threads, bool accumulate) const {
    ThreadPool pool(threads);
    GemmScratch scratch;
    std::vector<float> c = before;
    gemm(form, size.m, size.n, size.k, {a.data(), a_cols}, {b.data(), b_cols}, c.data(), stride(), accumulate,
         scratch, pool);
    return c;
  }

  /// In double precision: a reference matmul of A and of B transposed.
  std::vector<double> expect() const {
    std::vector<double> rows, columns;
    for (std::size_t i = 0; i < size.m; ++i)
      for (std::size_t k = 0; k < size.k; ++k) rows.push_back(a_at(i, k));
    for (std::size_t j = 0; j < size.n; ++j)
      for (std::size_t k = 0; k < size.k; ++k) columns.push_back(b_at(k, j));
    return reference::matmul(rows, columns, size.m, size.n, size.k);
  }
};

std::string name(const Product& p) {
  const char* const names[] = {"A B", "A Bt", "At B"};
  return std::string(names[static_cast<int>(p.form)]) + " " + std::to_string(p.size.m) + " x " +
         std::to_string(p.size.n) + " x " + std::to_string(p.size.k);
}

}  // namespace

TEST_CASE("products of odd sizes agree with the reference in every form and on every target",
          "[train][gemm]") {
  for (const GemmForm form : forms) {
    for (const Size size : sizes) {
      const Product product(form, size);
      const auto expected = product.expect();
      for (const std::string& target : kernel_targets()) {
        const WithTarget with(target);
        for (const bool accumulate : {false, true}) {
          const auto c = product.run(2, accumulate);
          double difference = 0;
          bool outside_kept = true;
          for (std::size_t i = 0; i < size.m; ++i) {
            for (std::size_t j = 0; j < product.stride(); ++j) {
              const std::size_t at = i * product.stride() + j;
              if (j >= size.n) {
                outside_kept = outside_kept && c[at] == product.before[at];
                continue;
              }
              const double want =
                  expected[i * size.n + j] + (accumulate ? static_cast<double>(product.before[at]) : 0);
              difference = std::max(difference, std::fabs(want - static_cast<double>(c[at])));
            }
          }
          INFO(name(product) << " on " << target << (accumulate ? ", added" : ""));
          // k products below 1, each sum rounded to 2^-24 of itself; a missing product is off by far more.
          CHECK(difference <= 1e-7 * static_cast<double>(size.k) + 1e-6);
          CHECK(outside_kept);
        }
      }
    }
  }
}

TEST_CASE("a product has the same bits on any number of threads and on all targets that fuse",
          "[train][gemm]") {
  for (const GemmForm form : forms) {
    for (const Size size : sizes) {
      const Product product(form, size);
      std::vector<float> fused;
      for (const std::string& target : kernel_targets()) {
        const WithTarget with(target);
        const auto alone = product.run(1, true);
        INFO(name(product) << " on " << target);
        CHECK(same_bits(product.run(2, true), alone));
        CHECK(same_bits(product.run(3, true), alone));
        if (!has_fused_multiply_add(target)) continue;
        if (fused.empty()) fused = alone;
        CHECK(same_bits(fused, alone));
      }
    }
  }
}

TEST_CASE("a row of a product has the same bits in a product of fewer rows", "[train][gemm]") {
  const Product whole(GemmForm::abt, {61, 47, 1031});
  const auto c = whole.run(2, false);
  for (const std::size_t rows : {1U, 4U, 23U}) {
    Product part = whole;
    part.size.m = rows;
    const auto fewer = part.run(1, false);
    CHECK(same_bits(std::span(fewer).first(rows * part.stride()), std::span(c).first(rows * part.stride())));
  }
}

TEST_CASE("a product over nothing is zero, or adds nothing", "[train][gemm]") {
  const Product product(GemmForm::ab, {3, 5, 1});
  ThreadPool pool(1);
  GemmScratch scratch;
  std::vector<float> c(15, 2.0f);
  gemm(GemmForm::ab, 3, 5, 0, {product.a.data(), 1}, {product.b.data(), 5}, c.data(), 5, true, scratch, pool);
  CHECK(c == std::vector<float>(15, 2.0f));
  gemm(GemmForm::ab, 3, 5, 0, {product.a.data(), 1}, {product.b.data(), 5}, c.data(), 5, false, scratch,
       pool);
  CHECK(c == std::vector<float>(15, 0.0f));
}
