#include "tools/prompt_file.hpp"

#include "tests/support/catch.hpp"

using namespace troupe;
using namespace troupe::tools;

TEST_CASE("a file of prompts has one per line, whatever ends the lines", "[tools]") {
  CHECK(split_prompts("a\nb\n").prompts == std::vector<std::string>{"a", "b"});
  CHECK(split_prompts("a\r\nb").prompts == std::vector<std::string>{"a", "b"});
  CHECK(split_prompts("a\rb\n").prompts == std::vector<std::string>{"a\rb"});
  CHECK(split_prompts(" a \n").prompts == std::vector<std::string>{" a "});
}

TEST_CASE("empty lines of a file of prompts are counted and left out", "[tools]") {
  const PromptLines lines = split_prompts("\na\n\r\n\nb\n\n");
  CHECK(lines.prompts == std::vector<std::string>{"a", "b"});
  CHECK(lines.empty_lines == 4);
  CHECK(split_prompts("").prompts.empty());
  CHECK(split_prompts("").empty_lines == 0);
}

TEST_CASE("a byte order mark is taken off, other bytes of a prompt are kept as they are", "[tools]") {
  CHECK(split_prompts("\xEF\xBB\xBF"
                      "a\n")
            .prompts == std::vector<std::string>{"a"});
  const std::string odd("\xFF\x00\xC3", 3);
  CHECK(split_prompts(odd + "\n").prompts == std::vector<std::string>{odd});
}

TEST_CASE("a file that cannot be read is named", "[tools]") {
  const auto missing = read_text_file("no/such/file");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message == "cannot read 'no/such/file': No such file or directory");
  CHECK_FALSE(read_text_file("/"));
}
