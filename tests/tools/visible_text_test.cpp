#include "tools/visible_text.hpp"

#include "tests/support/catch.hpp"

using namespace troupe::tools;

TEST_CASE("newlines and tabs pass to the terminal, other control characters become visible", "[tools]") {
  CHECK(visible("a\tb\nc") == "a\tb\nc");
  CHECK(visible("\x1b[31mred\x1b[0m") == "^[[31mred^[[0m");
  CHECK(visible("bell\a back\b return\r") == "bell^G back^H return^M");
  CHECK(visible(std::string_view("\0x", 2)) == "^@x");
  CHECK(visible("\x7f") == "^?");
}

TEST_CASE("C1 control characters become visible in both of their spellings", "[tools]") {
  CHECK(visible("\xC2\x9B"
                "31m") == "<U+009B>31m");
  CHECK(visible("\xC2\x80") == "<U+0080>");
  CHECK(visible("\x9B"
                "31m") ==
        "\xEF\xBF\xBD"
        "31m");
  CHECK(visible("\xC2\xA0") == "\xC2\xA0");
}

TEST_CASE("a text for the terminal is the same however it is cut into chunks", "[tools]") {
  const std::string text =
      "gr\xC3\xBC\xC3\x9F"
      "e \xC2\x9B \xE2\x82\xAC \xF0\x9F\x98\x80 \x1b]0;title\a \xFF \xE2\x82";
  const std::string whole = visible(text);
  for (std::size_t size = 1; size <= text.size(); ++size) {
    VisibleText filter;
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += size) out += filter.push(text.substr(at, size));
    out += filter.finish();
    CHECK(out == whole);
  }
}

TEST_CASE("a control character that is cut by a chunk's border does not reach the terminal", "[tools]") {
  VisibleText filter;
  CHECK(filter.push("a\xC2") == "a");
  CHECK(filter.push("\x9B") == "<U+009B>");
  CHECK(filter.finish().empty());
  CHECK(filter.push("\xE2\x82").empty());
  CHECK(filter.finish() == "\xEF\xBF\xBD");
  CHECK(filter.finish().empty());
}
