#include "base/utf8.hpp"

#include "tests/support/catch.hpp"

namespace troupe {
namespace {

TEST_CASE("every character survives encoding and decoding", "[base]") {
  for (char32_t code = 0; code <= 0x10FFFF; ++code) {
    if (code >= 0xD800 && code <= 0xDFFF) continue;
    const std::string text = utf8_encode(code) + "x";
    const Utf8Step step = utf8_step(text);
    if (step.valid && step.code == code && step.bytes + 1 == text.size()) continue;
    FAIL("U+" << std::hex << static_cast<std::uint32_t>(code));
  }
}

TEST_CASE("invalid sequences are as long as their maximal prefix", "[base]") {
  struct Case {
    std::string_view text;
    std::size_t bytes;
  };
  const Case cases[] = {
      {"\x80", 1},              // a continuation byte alone
      {"\xC0\x80", 1},          // overlong
      {"\xC1\xBF", 1},          // overlong
      {"\xE0\x9F\xBF", 1},      // overlong
      {"\xED\xA0\x80", 1},      // surrogate
      {"\xF0\x8F\xBF\xBF", 1},  // overlong
      {"\xF4\x90\x80\x80", 1},  // beyond U+10FFFF
      {"\xF5\x80\x80\x80", 1},  // no lead byte
      {"\xFF", 1},              // no lead byte
      {"\xE2\x82", 2},          // cut off
      {"\xF0\x9F\x98", 3},      // cut off
      {"\xF0\x9F\x98\x41", 3},  // the third continuation is none
      {"\xE2\x41", 1},          // the second byte is none
  };
  for (const Case& c : cases) {
    INFO(printable(c.text));
    CHECK_FALSE(utf8_step(c.text).valid);
    CHECK(utf8_step(c.text).bytes == c.bytes);
    CHECK_FALSE(is_valid_utf8(c.text));
  }
  CHECK(utf8_step("").bytes == 0);
  CHECK(is_valid_utf8("déjà vu 😀"));
}

TEST_CASE("printable text has no control characters and no invalid bytes", "[base]") {
  CHECK(printable("blk.0.attn_q") == "blk.0.attn_q");
  CHECK(printable("a\nb\tc\r") == "a\\nb\\tc\\r");
  CHECK(printable("\x1b[2J") == "\\x1b[2J");
  CHECK(printable(std::string_view("\0", 1)) == "\\x00");
  CHECK(printable("\xC2\x9B"
                  "31m") == "\\u009b31m");  // CSI as one character
  CHECK(printable("\xE2\x80\xAE"
                  "gnp") == "\\u202egnp");  // right-to-left override
  CHECK(printable("\xFF\xE2\x82") == "\\xff\\xe2\\x82");
  CHECK(printable("C:\\x") == "C:\\\\x");
  CHECK(printable("é😀") == "é😀");
  CHECK(in_quotes("it's") == "'it\\'s'");
}

TEST_CASE("long text is cut at a character", "[base]") {
  CHECK(printable("abcdef", 6) == "abcdef");
  CHECK(printable("abcdefg", 6) == "abcdef…");
  CHECK(printable("ééé", 3) == "éé…");
  CHECK(in_quotes(std::string(10000, 'x')).size() < 130);
}

TEST_CASE("no sequence of two bytes makes printable text unprintable", "[base]") {
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string out = printable(std::string{static_cast<char>(a), static_cast<char>(b)});
      bool fine = is_valid_utf8(out);
      for (const char c : out) fine = fine && (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
      if (!fine) FAIL(a << " " << b);
    }
  }
}

}  // namespace
}  // namespace troupe
