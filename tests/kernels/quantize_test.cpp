#include "kernels/quantize.hpp"

#include <limits>

#include "kernels/f16.hpp"
#include "kernels/reference/reference.hpp"
#include "kernels/samples.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

int byte_at(const std::vector<std::byte>& bytes, std::size_t i) {
  return static_cast<int>(bytes[i]);
}

double half(std::uint16_t bits) {
  return reference::decode(TensorType::f16, std::as_bytes(std::span(&bits, 1)), 1)[0];
}

}  // namespace

TEST_CASE("every half converts to the float of its value and back to itself", "[kernels][quantize]") {
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const float value = f16_to_f32(bits);
    if (std::isnan(half(bits))) {
      REQUIRE(std::isnan(value));
      REQUIRE(std::isnan(f16_to_f32(f32_to_f16(value))));
      continue;
    }
    REQUIRE(static_cast<double>(value) == half(bits));
    REQUIRE(f32_to_f16(value) == bits);
  }
}

TEST_CASE("floats between two halves round to the nearer, ties to the even", "[kernels][quantize]") {
  for (std::uint16_t bits = 0; bits < 0x7BFF; ++bits) {
    const double low = half(bits), high = half(bits + 1);
    const auto middle = static_cast<float>((low + high) / 2);  // exact: one more bit than a half has
    REQUIRE(f32_to_f16(middle) == (bits % 2 == 0 ? bits : bits + 1));
    REQUIRE(f32_to_f16(std::nextafterf(middle, 0)) == bits);
    REQUIRE(f32_to_f16(std::nextafterf(middle, 1e9f)) == bits + 1);
    REQUIRE(f32_to_f16(-middle) == ((bits % 2 == 0 ? bits : bits + 1) | 0x8000));
  }
  CHECK(f32_to_f16(65519.9f) == 0x7BFF);
  CHECK(f32_to_f16(65520.0f) == 0x7C00);
  CHECK(f32_to_f16(std::numeric_limits<float>::infinity()) == 0x7C00);
  CHECK(f32_to_f16(1e-10f) == 0);
}

TEST_CASE("Q8_0 blocks are scaled by the largest and rounded half away from zero", "[kernels][quantize]") {
  std::vector<float> x(32, 0.0f);
  x[0] = -127, x[1] = 0.5f, x[2] = -0.5f, x[3] = 1.5f, x[4] = 2.5f, x[5] = 0.49999997f, x[31] = 126.6f;
  const auto bytes = encode(TensorType::q8_0, x, 32);
  REQUIRE(bytes.size() == 34);
  CHECK(byte_at(bytes, 0) + 256 * byte_at(bytes, 1) == 0x3C00);
  const int expected[] = {-127, 1, -1, 2, 3, 0};
  for (std::size_t i = 0; i < 6; ++i) CHECK(static_cast<std::int8_t>(bytes[2 + i]) == expected[i]);
  CHECK(static_cast<std::int8_t>(bytes[33]) == 127);
}

TEST_CASE("Q4_0 blocks map the value of largest magnitude to -8", "[kernels][quantize]") {
  std::vector<float> x(32, 0.0f);
  x[3] = 8, x[4] = -8, x[5] = -7.6f, x[20] = 4, x[31] = -3;
  const auto bytes = encode(TensorType::q4_0, x, 32);
  REQUIRE(bytes.size() == 18);
  CHECK(byte_at(bytes, 0) + 256 * byte_at(bytes, 1) == 0xBC00);  // -1: the first of the two largest is +8
  std::vector<float> back(32);
  decode_row(TensorType::q4_0, bytes, back);
  CHECK(back[3] == 8);
  CHECK(back[4] == -7);  // +8 has no nibble
  CHECK(back[5] == -7);
  CHECK(back[20] == 4);
  CHECK(back[31] == -3);
  CHECK(back[0] == 0);
}

TEST_CASE("decoding agrees with the reference for arbitrary bytes", "[kernels][quantize]") {
  Samples samples(2);
  for (const TensorType type : {TensorType::f32, TensorType::f16, TensorType::q8_0, TensorType::q4_0}) {
    std::vector<std::byte> bytes(encoded_bytes(type, 4096));
    for (std::byte& b : bytes) b = static_cast<std::byte>(samples.bits() & 255);
    std::vector<float> values(4096);
    decode_row(type, bytes, values);
    const auto expected = reference::decode(type, bytes, 4096);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(expected[i]))
        REQUIRE(std::isnan(values[i]));
      else
        REQUIRE(values[i] == static_cast<float>(expected[i]));
    }
  }
}

TEST_CASE("encoding and decoding come close to the values", "[kernels][quantize]") {
  Samples samples(8);
  const std::vector<float> x = samples.values(3200, 4);
  const auto worst = [&](TensorType type) {
    std::vector<float> back(x.size());
    decode_row(type, encode(type, x, x.size()), back);
    float error = 0;
    for (std::size_t i = 0; i < x.size(); ++i) error = std::max(error, std::fabs(back[i] - x[i]));
    return error;
  };
  CHECK(worst(TensorType::f32) == 0);
  CHECK(worst(TensorType::f16) <= 0.002f);
  CHECK(worst(TensorType::q8_0) <= 4.0f / 127 / 2 * 1.01f + 0.002f);
  CHECK(worst(TensorType::q4_0) <= 4.0f / 8 * 1.01f);
}

TEST_CASE("blocks of zeros, NaN and infinities encode without undefined behaviour", "[kernels][quantize]") {
  for (const TensorType type : {TensorType::q8_0, TensorType::q4_0}) {
    std::vector<float> x(64, 0.0f), back(64);
    decode_row(type, encode(type, x, 64), back);
    CHECK(back == x);
    x[1] = std::nanf(""), x[40] = std::numeric_limits<float>::infinity(), x[41] = -x[40], x[42] = 3e38f;
    CHECK(encode(type, x, 64).size() == 2 * tensor_type_info(type).block_bytes);
  }
}
