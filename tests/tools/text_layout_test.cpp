#include "tools/text_layout.hpp"

#include "tests/support/catch.hpp"

using namespace troupe::tools;

namespace {

std::size_t widest_line(const std::string& text) {
  std::size_t widest = 0;
  for (const std::string& line : wrapped(text, 10000)) widest = std::max(widest, display_columns(line));
  return widest;
}

const std::vector<std::pair<std::string, std::string>> rows = {
    {"/help", "this list"},
    {"/set NAME VALUE", "change a setting of the answers; without arguments all settings are listed"},
};

}  // namespace

TEST_CASE("columns count what a terminal shows, not bytes", "[tools]") {
  CHECK(display_columns("abc") == 3);
  CHECK(display_columns("gr\xC3\xBC\xC3\x9F"
                        "e") == 5);
  CHECK(display_columns("\xE6\x97\xA5\xE6\x9C\xAC") == 4);  // two wide characters
  CHECK(display_columns("e\xCC\x81") == 1);                 // a combining accent
  CHECK(display_columns("\xFF") == 1);
}

TEST_CASE("a shortened text fits its columns and never ends in half a character", "[tools]") {
  CHECK(shortened("short", 5) == "short");
  CHECK(shortened("longer", 5) == "long\xE2\x80\xA6");
  CHECK(shortened("\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E", 4) == "\xE6\x97\xA5\xE2\x80\xA6");
  CHECK(shortened("anything", 0).empty());
  CHECK(shortened("ab", 1) == "\xE2\x80\xA6");
}

TEST_CASE("text is broken at spaces, and a long word is kept whole", "[tools]") {
  CHECK(wrapped("one two three", 8) == std::vector<std::string>{"one two", "three"});
  CHECK(wrapped("incomprehensible is long", 8) == std::vector<std::string>{"incomprehensible", "is long"});
  CHECK(wrapped("", 8) == std::vector<std::string>{""});
  CHECK(wrapped("a\n\nb", 8) == std::vector<std::string>{"a", "", "b"});
}

TEST_CASE("definitions stand beside their terms on a wide terminal and below them on a narrow one",
          "[tools]") {
  const std::string wide = definition_list(rows, 80);
  CHECK(wide.find("  /help            this list\n") == 0);
  CHECK(widest_line(wide) <= 80);
  const std::string narrow = definition_list(rows, 40);
  CHECK(narrow.find("  /help\n      this list\n") == 0);
  CHECK(widest_line(narrow) <= 40);
  CHECK(widest_line(definition_list(rows, 20)) <= 20);
}

TEST_CASE("a progress line fits every width", "[tools]") {
  CHECK(progress_line("loading", 0.5, 24) == "loading [####     ]  50%");
  for (std::size_t columns = 0; columns < 120; ++columns) {
    CHECK(display_columns(progress_line("loading model.gguf", 0.333, columns)) <= columns);
  }
  CHECK(progress_line("x", 2.0, 40).find("100%") != std::string::npos);
  CHECK(progress_line("x", -1.0, 40).find("  0%") != std::string::npos);
}

TEST_CASE("counts and bytes are short", "[tools]") {
  CHECK(short_count(999) == "999");
  CHECK(short_count(263000) == "263.00 K");
  CHECK(short_count(7.24e9) == "7.24 G");
  CHECK(short_bytes(512) == "512 B");
  CHECK(short_bytes(1536) == "1.5 KiB");
}
