#include "kernels/matmul.hpp"

#include <algorithm>
#include <utility>

#include "kernels/reference/reference.hpp"
#include "kernels/samples.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

bool quantized(TensorType type) {
  return tensor_type_info(type).block_elements > 1;
}

std::string name(TensorType type) {
  return std::string(tensor_type_info(type).name);
}

/// The smallest number of columns that are a whole block, at least 32.
std::size_t unit(TensorType type) {
  return std::max<std::size_t>(32, tensor_type_info(type).block_elements);
}

struct Problem {
  TensorType type;
  std::size_t rows, cols, batch;
  std::vector<float> x;
  std::vector<std::byte> weights;

  Problem(TensorType type_, std::size_t rows_, std::size_t cols_, std::size_t batch_, std::uint64_t seed = 1)
      : type(type_), rows(rows_), cols(cols_), batch(batch_) {
    Samples samples(seed + 31 * rows + 7 * cols + batch);
    x = samples.values(batch * cols, 3);
    weights = quantized(type) ? random_blocks(type, rows * cols, 0.01f, samples)
                              : encode(type, samples.values(rows * cols, 0.5f), cols);
  }

  std::vector<float> run(ThreadPool& pool) const { return run(pool, 0, batch); }

  /// The product of `count` rows of x from `begin` on, in a y that is wider than it must be.
  std::vector<float> run(ThreadPool& pool, std::size_t begin, std::size_t count) const {
    const PackedMatrix packed = PackedMatrix::pack(type, rows, cols, weights, pool);
    Activations activations;
    activations.assign(x.data() + begin * cols, count, cols);
    const std::size_t stride = rows + 3;
    std::vector<float> y(count * stride, -77.0f), out;
    matmul(packed, activations, y.data(), stride, pool);
    for (std::size_t r = 0; r < count; ++r) {
      out.insert(out.end(), &y[r * stride], &y[r * stride] + rows);
      for (std::size_t i = rows; i < stride; ++i) REQUIRE(y[r * stride + i] == -77.0f);
    }
    return out;
  }

  /// In double precision, with the activations that the kernel sees; `size` gets sum |x w| per output.
  std::vector<double> expect(std::vector<double>& size) const {
    std::vector<double> activations(x.begin(), x.end());
    if (quantized(type))
      for (std::size_t i = 0; i < x.size(); i += 32) {
        const auto block = reference::quantize_activations(&x[i]);
        for (std::size_t j = 0; j < 32; ++j)
          activations[i + j] = static_cast<double>(block.scale) * block.values[j];
      }
    const std::vector<double> w = reference::decode(type, weights, rows * cols);
    const auto absolute = [](std::vector<double> v) {
      for (double& value : v) value = std::fabs(value);
      return v;
    };
    std::vector<double> terms = absolute(w);
    // A code's part and its minimum's are added one after the other, and may cancel.
    if (f16_offsets(type).size() == 2)
      for (std::size_t i = 0; i < terms.size(); i += 32) {
        const double largest = *std::max_element(terms.begin() + i, terms.begin() + i + 32);
        for (std::size_t j = i; j < i + 32; ++j) terms[j] += 2 * largest;
      }
    size = reference::matmul(absolute(activations), terms, batch, rows, cols);
    return reference::matmul(activations, w, batch, rows, cols);
  }
};

void check_against_reference(const Problem& problem, ThreadPool& pool) {
  std::vector<double> size;
  const std::vector<double> expected = problem.expect(size);
  const std::vector<float> got = problem.run(pool);
  REQUIRE(got.size() == expected.size());
  // f32 sums of n terms: each addition rounds by at most 2^-24 of the sum so far.
  const double terms = static_cast<double>(quantized(problem.type) ? problem.cols / 16 + 6 : problem.cols);
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO(name(problem.type) << " " << problem.rows << "x" << problem.cols << " batch " << problem.batch
                            << " at " << i);
    REQUIRE(std::fabs(got[i] - expected[i]) <= size[i] * terms * 0x1p-24 + 1e-12);
  }
}

}  // namespace

TEST_CASE("matmul agrees with the double-precision reference in many shapes", "[kernels][matmul]") {
  ThreadPool pool(2);
  for (const TensorType type : all_types)
    for (const std::size_t rows : {1, 5, 16, 17, 33, 100})
      for (const std::size_t blocks : {1, 2, 3, 9})
        for (const std::size_t batch : {1, 2, 3, 7, 8, 13, 16, 29})
          check_against_reference(Problem(type, rows, blocks * unit(type), batch), pool);
}

TEST_CASE("matmul agrees with the reference for every batch size up to 67", "[kernels][matmul]") {
  ThreadPool pool(2);
  for (const TensorType type : all_types)
    for (std::size_t batch = 1; batch <= 67; ++batch)
      check_against_reference(Problem(type, 40, 2 * unit(type), batch), pool);
}

TEST_CASE("matmul takes columns that are no multiple of anything for float weights", "[kernels][matmul]") {
  ThreadPool pool(1);
  for (const TensorType type : {TensorType::f32, TensorType::f16, TensorType::bf16})
    for (const std::size_t cols : {1, 3, 17, 50}) check_against_reference(Problem(type, 19, cols, 5), pool);
}

TEST_CASE("matmul gives a row the same bits alone, in any batch and with any thread count",
          "[kernels][matmul]") {
  ThreadPool one(1), two(2), five(5);
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    for (const TensorType type : all_types) {
      INFO(target << " " << name(type));
      const Problem problem(type, 75, std::max<std::size_t>(288, 2 * unit(type)), 67);
      const std::vector<float> all = problem.run(one);
      CHECK(same_bits(all, problem.run(two)));
      CHECK(same_bits(all, problem.run(five)));
      for (std::size_t batch = 1; batch <= 64; ++batch) {
        bool same = true;
        for (std::size_t begin = 0; begin + batch <= problem.batch; begin += batch) {
          const std::vector<float> some = problem.run(begin % 2 == 0 ? one : two, begin, batch);
          same = same && same_bits(some, std::span(all).subspan(begin * problem.rows, some.size()));
        }
        INFO("batch " << batch);
        CHECK(same);
      }
    }
  }
}

TEST_CASE("matmul gives a row the same bits in batches of hundreds, over any number of groups",
          "[kernels][matmul]") {
  ThreadPool one(1), two(2);
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    for (const TensorType type : {TensorType::f16, TensorType::q8_0, TensorType::q4_0, TensorType::q2_k,
                                  TensorType::q4_k, TensorType::q6_k})
      for (const std::size_t rows : {16, 80, 112}) {
        INFO(target << " " << name(type) << " " << rows);
        const Problem problem(type, rows, std::max<std::size_t>(288, 2 * unit(type)), 275);
        const std::vector<float> all = problem.run(two);
        for (const std::size_t begin : {0, 17, 262}) {
          const std::vector<float> some = problem.run(one, begin, 13);
          CHECK(same_bits(some, std::span(all).subspan(begin * rows, some.size())));
        }
        CHECK(same_bits(problem.run(one, 0, 270), std::span(all).first(270 * rows)));
      }
  }
}

TEST_CASE("matmul gives the same bits on every target with fused multiply-add",
          "[kernels][matmul][targets]") {
  ThreadPool pool(2);
  for (const TensorType type : all_types) {
    const Problem problem(type, 50, std::max<std::size_t>(320, 2 * unit(type)), 21);
    std::vector<float> first;
    for (const std::string& target : kernel_targets()) {
      const WithTarget with(target);
      INFO(target << " " << name(type));
      check_against_reference(problem, pool);
      if (!has_fused_multiply_add(target)) continue;
      const std::vector<float> got = problem.run(pool);
      if (first.empty()) first = got;
      CHECK(same_bits(got, first));
    }
  }
}

// With scales that are powers of two and few columns every float operation is exact, so that any difference
// is one of the integer sums. On targets without fused multiply-add this is all that can be compared: there
// the sum over blocks rounds each product too.
TEST_CASE("matmul's integer sums are exact on every target, at the ends of their ranges",
          "[kernels][matmul][targets]") {
  ThreadPool pool(1);
  Samples samples(5);
  const std::size_t rows = 33, cols = 256, batch = 11;
  std::vector<float> x(batch * cols);
  for (float& value : x) value = static_cast<float>(samples.below(255)) - 127.0f;
  for (std::size_t i = 0; i < x.size(); i += 32) x[i] = i % 64 == 0 ? 127.0f : -127.0f;  // scale 1
  std::fill(x.begin(), x.begin() + cols, 127.0f);
  std::fill(x.begin() + cols, x.begin() + 2 * cols, -127.0f);
  // 64 columns of each row, others for the next: with scales of six bits, more would leave float's 24 bits.
  for (std::size_t i = 0; i < x.size(); ++i)
    if (i % cols / 64 != i / cols % 4) x[i] = 0;

  for (const TensorType type : all_types) {
    if (!quantized(type)) continue;
    const std::size_t block_bytes = tensor_type_info(type).block_bytes;
    std::vector<std::byte> weights = random_blocks(type, rows * cols, 1, samples);
    // Two rows of extreme codes: with Q8_0's smallest, and with the largest of the others.
    std::fill_n(weights.begin(), encoded_bytes(type, cols),
                type == TensorType::q8_0 ? std::byte{0x80} : std::byte{0});
    std::fill_n(weights.begin() + encoded_bytes(type, cols), encoded_bytes(type, cols),
                type == TensorType::q8_0 ? std::byte{0x7F} : std::byte{0xFF});
    for (std::size_t block = 0; block < weights.size(); block += block_bytes)
      for (const std::size_t at : f16_offsets(type)) {
        weights[block + at] = std::byte{0};
        weights[block + at + 1] = std::byte{0x3C};  // the half 1.0
      }
    const std::vector<double> expected =
        reference::matmul(std::vector<double>(x.begin(), x.end()),
                          reference::decode(type, weights, rows * cols), batch, rows, cols);
    const PackedMatrix packed = PackedMatrix::pack(type, rows, cols, weights, pool);
    for (const std::string& target : kernel_targets()) {
      const WithTarget with(target);
      Activations activations;
      activations.assign(x.data(), batch, cols);
      std::vector<float> y(batch * rows);
      matmul(packed, activations, y.data(), rows, pool);
      for (std::size_t i = 0; i < y.size(); ++i) {
        INFO(target << " " << name(type) << " row " << i / rows << " output " << i % rows);
        REQUIRE(static_cast<double>(y[i]) == expected[i]);
      }
    }
  }
}

TEST_CASE("activations are quantized to the nearest integer, alike on every target",
          "[kernels][matmul][targets]") {
  ThreadPool pool(2);
  Samples samples(9);
  const std::size_t rows = 37, cols = 1024;
  std::vector<float> x = samples.values(rows * cols, 5);
  for (std::size_t i = 0; i < 32; ++i) x[i] = 0;                         // a block of zeros
  for (std::size_t i = 32; i < 64; ++i) x[i] = i % 2 == 0 ? 1e-38f : 0;  // too small to have an inverse
  for (std::size_t i = 64; i < 96; ++i) x[i] = static_cast<float>(i) - 64 + 0.5f;
  x[64] = -127;  // scale 1: the others are ties
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    Activations activations;
    activations.assign(x.data(), rows, cols);
    activations.quantize(pool);
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t b = 0; b < cols / 32; ++b) {
        INFO(target << " row " << r << " block " << b);
        const auto expected = reference::quantize_activations(&x[r * cols + b * 32]);
        const std::size_t at = b * rows + r;
        int sum = 0;
        for (const std::int8_t value : expected.values) sum += value;
        REQUIRE(std::memcmp(activations.q8() + at * 32, expected.values, 32) == 0);
        const ActivationTerms& terms = activations.terms()[at];
        REQUIRE(terms.scale == expected.scale);
        REQUIRE(terms.scaled_sum == expected.scale * static_cast<float>(sum));
        REQUIRE(terms.offset == -8 * sum);
        for (std::size_t half = 0; half < 2; ++half) {
          sum = 0;
          for (std::size_t i = 0; i < 16; ++i) sum += expected.values[16 * half + i];
          REQUIRE(terms.half_offsets[half] == -32 * sum);
        }
      }
  }
}

TEST_CASE("activations that are assigned anew are quantized anew, and then only once", "[kernels][matmul]") {
  ThreadPool pool(1);
  std::vector<float> x(64, 1.0f);
  Activations activations;
  activations.assign(x.data(), 2, 32);
  activations.quantize(pool);
  CHECK(activations.terms()[0].scale == 1.0f / 127);
  x[0] = 2;
  activations.quantize(pool);
  CHECK(activations.terms()[0].scale == 1.0f / 127);
  activations.assign(x.data(), 2, 32);
  activations.quantize(pool);
  CHECK(activations.terms()[0].scale == 2.0f / 127);
}

TEST_CASE("NaN activations show in the outputs of their row and in no other", "[kernels][matmul]") {
  ThreadPool pool(1);
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    for (const TensorType type : all_types) {
      INFO(target << " " << name(type));
      const std::size_t cols = 2 * unit(type);
      Problem problem(type, 20, cols, 3);
      const std::vector<float> clean = problem.run(pool);
      // One alone, wherever a maximum might lose it.
      for (std::size_t at = 0; at < 32; ++at) {
        const float before = std::exchange(problem.x[cols + at], std::nanf(""));
        const std::vector<float> y = problem.run(pool);
        for (std::size_t i = 20; i < 40; ++i) CHECK(std::isnan(y[i]));
        CHECK(same_bits(std::span(y).first(20), std::span(clean).first(20)));
        CHECK(same_bits(std::span(y).last(20), std::span(clean).last(20)));
        problem.x[cols + at] = before;
      }
    }
  }
}

TEST_CASE("a packed matrix gives back every row exactly", "[kernels][matmul]") {
  ThreadPool pool(2);
  for (const TensorType type : all_types) {
    const Problem problem(type, 37, 3 * unit(type), 1);
    const PackedMatrix packed = PackedMatrix::pack(type, problem.rows, problem.cols, problem.weights, pool);
    CHECK(packed.bytes() == PackedMatrix::packed_bytes(type, problem.rows, problem.cols));
    const std::vector<double> expected =
        reference::decode(type, problem.weights, problem.rows * problem.cols);
    std::vector<float> row(problem.cols);
    for (std::size_t r = 0; r < problem.rows; ++r) {
      packed.read_row(r, row.data());
      for (std::size_t k = 0; k < problem.cols; ++k)
        REQUIRE(row[k] == static_cast<float>(expected[r * problem.cols + k]));
    }
  }
}

TEST_CASE("matmul knows the types it has kernels for", "[kernels][matmul]") {
  for (const TensorType type : all_types) CHECK(matmul_supports(type));
  CHECK_FALSE(matmul_supports(TensorType::i32));
  CHECK_FALSE(matmul_supports(static_cast<TensorType>(4711)));
  CHECK(PackedMatrix::packed_bytes(TensorType::i32, 4, 4) == 0);
  // Packed weights take the file's bits: 4.5 of Q4_K, 6.5625 of Q6_K.
  CHECK(PackedMatrix::packed_bytes(TensorType::q4_k, 16, 256) == 16u * 144);
  CHECK(PackedMatrix::packed_bytes(TensorType::q6_k, 16, 256) == 16u * 210);
  CHECK(PackedMatrix::packed_bytes(TensorType::q4_0, 17, 64) == 2u * 2 * (32 + 256));
}
