#include "base/byte_reader.hpp"

#include <limits>
#include <vector>

#include "tests/support/catch.hpp"

namespace troupe {
namespace {

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int v : values) out.push_back(static_cast<std::byte>(v));
  return out;
}

TEST_CASE("a byte reader reads little-endian values at any alignment", "[base]") {
  const auto data = bytes({0xFF, 0x01, 0x02, 0x03, 0x04, 0x00, 0x00, 0x80, 0x3F, 0xFE, 0xFF});
  ByteReader in(data);
  std::uint8_t skipped = 0;
  std::uint32_t number = 0;
  float one = 0;
  std::int16_t minus_two = 0;
  REQUIRE(in.read(skipped));
  REQUIRE(in.read(number));
  REQUIRE(in.read(one));
  REQUIRE(in.read(minus_two));
  CHECK(skipped == 0xFF);
  CHECK(number == 0x04030201);
  CHECK(one == 1.0F);
  CHECK(minus_two == -2);
  CHECK(in.offset() == 11);
  CHECK(in.remaining() == 0);
}

TEST_CASE("a read that does not fit fails and changes nothing", "[base]") {
  const auto data = bytes({1, 2, 3});
  ByteReader in(data);
  std::uint32_t number = 77;
  CHECK_FALSE(in.read(number));
  CHECK(number == 77);
  CHECK(in.offset() == 0);
  std::span<const std::byte> view;
  CHECK_FALSE(in.read_bytes(4, view));
  CHECK(view.empty());
  REQUIRE(in.read_bytes(3, view));
  CHECK(view.size() == 3);
  CHECK_FALSE(in.skip(1));
  CHECK(in.skip(0));
}

TEST_CASE("lengths near 2^64 do not wrap around", "[base]") {
  const auto data = bytes({1, 2, 3, 4, 5, 6, 7, 8});
  ByteReader in(data);
  REQUIRE(in.skip(5));
  std::span<const std::byte> view;
  for (const std::uint64_t back : {1, 2, 3, 4, 5, 6}) {
    CHECK_FALSE(in.read_bytes(std::numeric_limits<std::uint64_t>::max() - back + 1, view));
  }
  CHECK(in.offset() == 5);
}

}  // namespace
}  // namespace troupe
