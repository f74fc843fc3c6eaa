#include "tools/number_text.hpp"

#include <limits>

#include "tests/support/catch.hpp"

using namespace troupe;
using namespace troupe::tools;

namespace {
constexpr double infinity = std::numeric_limits<double>::infinity();
}

TEST_CASE("numbers are read whole or refused with the option, the value and the range", "[tools]") {
  CHECK(*parse_number("--x", "0.5", {0, 1}) == 0.5);
  CHECK(*parse_number("--x", "+1e-3", {0, 1}) == 1e-3);
  for (const char* text : {"", "abc", "0.5x", "0,5", " 0.5", "nan", "inf", "1.01", "-0.1", "+-0.5", "0x1"}) {
    const auto number = parse_number("--x", text, {0, 1});
    REQUIRE_FALSE(number);
    CHECK(number.error().message == "--x must be a number from 0 to 1, not '" + std::string(text) + "'");
  }
  CHECK_FALSE(parse_number("--x", "0", {0, 1, true}));
  CHECK(parse_number("--x", "0", {0, infinity, true}).error().message ==
        "--x must be a number above 0, not '0'");
}

TEST_CASE("whole numbers do not wrap around or lose digits", "[tools]") {
  CHECK(*parse_whole("-n", "18446744073709551615", 0, std::numeric_limits<std::uint64_t>::max()) ==
        std::numeric_limits<std::uint64_t>::max());
  for (const char* text : {"-1", "1.0", "18446744073709551616", "1e3", "", "0x10", "9"}) {
    const auto number = parse_whole("-n", text, 1, 8);
    REQUIRE_FALSE(number);
    CHECK(number.error().message == "-n must be a whole number from 1 to 8, not '" + std::string(text) + "'");
  }
}

TEST_CASE("token ids are separated by commas or blanks", "[tools]") {
  CHECK(*parse_tokens("--tokens", "1,2,3") == std::vector<Token>{1, 2, 3});
  CHECK(*parse_tokens("--tokens", " 1, 2\n3 ") == std::vector<Token>{1, 2, 3});
  CHECK(parse_tokens("--tokens", "")->empty());
  for (const char* text : {"1,,2", "1,", ",1", "1;2", "a", "-1", "2147483648"}) {
    INFO(text);
    CHECK_FALSE(parse_tokens("--tokens", text));
  }
}

TEST_CASE("a token id outside the vocabulary is named with the vocabulary's end", "[tools]") {
  CHECK(check_tokens("--tokens", {0, 511}, 512));
  const Status status = check_tokens("--tokens", {0, 512}, 512);
  REQUIRE_FALSE(status);
  CHECK(status.error().message == "--tokens: token id 512 is outside the vocabulary, which ends at 511");
}
