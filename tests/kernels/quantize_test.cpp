#include "kernels/quantize.hpp"

#include <limits>

#include "kernels/f16.hpp"
#include "kernels/reference/reference.hpp"
#include "kernels/samples.hpp"
#include "support/catch.hpp"
#include "support/subnormals_as_zeros.hpp"

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

TEST_CASE("halves are exact where the thread reads subnormals as zeros", "[kernels][quantize]") {
  Samples samples(12);
  // Scales of 2^-16 are subnormal halves.
  const auto blocks = random_blocks(TensorType::q6_k, 256, 0x1p-16f, samples);
  std::vector<float> expected(256), got(256);
  decode_row(TensorType::q6_k, blocks, expected);
  std::vector<float> halves;
  for (std::uint32_t i = 0; i < 0x10000; ++i) halves.push_back(f16_to_f32(static_cast<std::uint16_t>(i)));
  {
    const SubnormalsAsZeros zeros;
    const volatile std::uint16_t bits = 0x0200;
    CHECK(f16_to_f32(bits) == 0x1p-15f);
    decode_row(TensorType::q6_k, blocks, got);
    bool same = true;
    for (std::uint32_t i = 0; i < 0x10000; ++i) {
      const float value = f16_to_f32(static_cast<std::uint16_t>(i));
      same = same && same_bits({&value, 1}, {&halves[i], 1});
    }
    CHECK(same);
  }
  CHECK(same_bits(got, expected));
}

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
  for (const TensorType type : all_types) {
    INFO(tensor_type_info(type).name);
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

TEST_CASE("every float rounds to the nearest BF16, ties to the even", "[kernels][quantize]") {
  CHECK(f32_to_bf16(1.0f) == 0x3F80);
  CHECK(f32_to_bf16(0x1.01p0f) == 0x3F80);  // halfway to 0x3F81: to the even
  CHECK(f32_to_bf16(0x1.03p0f) == 0x3F82);
  CHECK(f32_to_bf16(std::nextafterf(0x1.01p0f, 2)) == 0x3F81);
  CHECK(f32_to_bf16(-0x1.03p0f) == 0xBF82);
  CHECK(f32_to_bf16(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(std::isnan(bf16_to_f32(f32_to_bf16(std::nanf("")))));
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    if (!std::isnan(bf16_to_f32(bits))) REQUIRE(f32_to_bf16(bf16_to_f32(bits)) == bits);
  }
}

TEST_CASE("Q5_0 blocks map the value of largest magnitude to -16", "[kernels][quantize]") {
  std::vector<float> x(32, 0.0f);
  x[3] = 16, x[4] = -16, x[5] = -2.6f, x[17] = 15.4f;
  const auto bytes = encode(TensorType::q5_0, x, 32);
  REQUIRE(bytes.size() == 22);
  CHECK(byte_at(bytes, 0) + 256 * byte_at(bytes, 1) == 0xBC00);  // -1
  CHECK(byte_at(bytes, 6 + 3) == 0x00);
  CHECK(byte_at(bytes, 6 + 4) == 0x0F);            // 31 without its fifth bit; element 20 is 16
  CHECK(byte_at(bytes, 2) == (0xFF & ~(1 << 3)));  // all others are 16 or more
  CHECK(byte_at(bytes, 4) == (0xFF & ~(1 << 1)));  // 15.4 became 1
  std::vector<float> back(32);
  decode_row(TensorType::q5_0, bytes, back);
  CHECK(back[3] == 16);
  CHECK(back[4] == -15);  // +16 has no code
  CHECK(back[5] == -3);
  CHECK(back[17] == 15);
}

TEST_CASE("Q4_1 and Q5_1 blocks span the range of their values", "[kernels][quantize]") {
  std::vector<float> x(32, 3.0f), back(32);
  x[0] = 2, x[20] = 17, x[31] = 9.4f;
  const auto bytes = encode(TensorType::q4_1, x, 32);
  REQUIRE(bytes.size() == 20);
  CHECK(byte_at(bytes, 0) + 256 * byte_at(bytes, 1) == 0x3C00);  // 1
  CHECK(byte_at(bytes, 2) + 256 * byte_at(bytes, 3) == 0x4000);  // 2
  decode_row(TensorType::q4_1, bytes, back);
  CHECK(back[0] == 2);
  CHECK(back[1] == 3);
  CHECK(back[20] == 17);
  CHECK(back[31] == 9);
  x[20] = 33;
  decode_row(TensorType::q5_1, encode(TensorType::q5_1, x, 32), back);
  CHECK(back[0] == 2);
  CHECK(back[1] == 3);
  CHECK(back[20] == 33);
  CHECK(back[31] == 9);
}

TEST_CASE("encoding and decoding come as close as the bits allow", "[kernels][quantize]") {
  Samples samples(8);
  const auto error = [](TensorType type, const std::vector<float>& x) {
    std::vector<float> back(x.size());
    decode_row(type, encode(type, x, x.size()), back);
    double squares = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      squares += (static_cast<double>(back[i]) - x[i]) * (static_cast<double>(back[i]) - x[i]);
    return std::sqrt(squares / static_cast<double>(x.size()));
  };
  // Uniform values: an error is uniform too, in one step.
  const std::vector<float> uniform = samples.values(25600, 4);
  const auto step = [](double width) { return width / std::sqrt(12.0) * 1.05; };
  CHECK(error(TensorType::f32, uniform) == 0);
  CHECK(error(TensorType::f16, uniform) <= 0.0006);
  CHECK(error(TensorType::bf16, uniform) <= 0.006);
  CHECK(error(TensorType::q8_0, uniform) <= step(4.0 / 127));
  CHECK(error(TensorType::q6_k, uniform) <= step(4.0 / 32));
  CHECK(error(TensorType::q5_0, uniform) <= step(4.0 / 16) * 1.1);  // one end is cut off
  CHECK(error(TensorType::q5_1, uniform) <= step(8.0 / 31));
  CHECK(error(TensorType::q5_k, uniform) <= step(8.0 / 31));
  CHECK(error(TensorType::q4_0, uniform) <= step(4.0 / 8) * 1.1);
  CHECK(error(TensorType::q4_1, uniform) <= step(8.0 / 15));
  CHECK(error(TensorType::q4_k, uniform) <= step(8.0 / 15));

  // Values as weights have them, many small and few large: searching for the scales is worth more than the
  // half a bit that Q4_1 and Q5_1 spend on theirs.
  std::vector<float> normal(25600);
  for (float& v : normal) v = samples.value() + samples.value() + samples.value() + samples.value();
  CHECK(error(TensorType::q4_k, normal) < error(TensorType::q4_1, normal));
  CHECK(error(TensorType::q5_k, normal) < error(TensorType::q5_1, normal));
  CHECK(error(TensorType::q6_k, normal) < error(TensorType::q5_k, normal) * 0.6);
}

TEST_CASE("blocks of zeros, NaN and infinities encode without undefined behaviour", "[kernels][quantize]") {
  for (const TensorType type : all_types) {
    if (!encoding_supported(type)) continue;
    INFO(tensor_type_info(type).name);
    std::vector<float> x(512, 0.0f), back(512);
    decode_row(type, encode(type, x, 512), back);
    CHECK(back == x);
    for (const float same : {-2.0f, 2.0f}) {
      std::fill(x.begin(), x.end(), same);
      decode_row(type, encode(type, x, 512), back);
      for (const float value : back) REQUIRE(std::fabs(value - same) <= 0.01f);
    }
    x[1] = std::nanf(""), x[40] = std::numeric_limits<float>::infinity(), x[41] = -x[40], x[42] = 3e38f;
    x[300] = -3e38f, x[301] = 1e-38f;
    CHECK(encode(type, x, 512).size() == encoded_bytes(type, 512));
  }
}

TEST_CASE("types without an encoder say so, and can be decoded", "[kernels][quantize]") {
  for (const TensorType type : all_types) CHECK(decoding_supported(type));
  for (const TensorType type : {TensorType::q2_k, TensorType::q3_k, TensorType::iq4_nl, TensorType::iq4_xs})
    CHECK_FALSE(encoding_supported(type));
  CHECK_FALSE(decoding_supported(TensorType::i32));
  CHECK_FALSE(decoding_supported(TensorType::iq2_xxs));
}
