#include "tools/prompt_file.hpp"

#include <unistd.h>

#include <vector>

#include "tests/support/catch.hpp"

using namespace troupe;
using namespace troupe::tools;

namespace {

struct PromptLines {
  std::vector<std::string> prompts;
  std::size_t empty_lines = 0;
};

/// What a splitter makes of `text`, which must not depend on how it comes.
PromptLines split_prompts(std::string_view text) {
  std::optional<PromptLines> first;
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{5}, text.size() + 1}) {
    PromptLines lines;
    PromptSplitter splitter;
    const auto take_all = [&] {
      while (auto prompt = splitter.take()) lines.prompts.push_back(*std::move(prompt));
    };
    for (std::size_t begin = 0; begin < text.size(); begin += piece) {
      splitter.push(text.substr(begin, piece));
      take_all();
    }
    splitter.end();
    take_all();
    lines.empty_lines = splitter.empty_lines();
    if (first) {
      CHECK(lines.prompts == first->prompts);
      CHECK(lines.empty_lines == first->empty_lines);
    }
    first = lines;
  }
  return *first;
}

}  // namespace

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

TEST_CASE("a pipe of prompts is read as they come", "[tools]") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const int standard_input = ::dup(STDIN_FILENO);
  REQUIRE(::dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
  ::close(ends[0]);
  {
    auto file = PromptFile::open("-");
    REQUIRE(file);
    CHECK_FALSE(file->ready());
    REQUIRE(::write(ends[1], "one\n\ntw", 7) == 7);
    CHECK(file->ready());
    CHECK(file->next()->value() == "one");
    CHECK_FALSE(file->ready());
    REQUIRE(::write(ends[1], "o", 1) == 1);
    CHECK_FALSE(file->ready());
    ::close(ends[1]);
    CHECK(file->ready());
    CHECK(file->next()->value() == "two");
    CHECK(file->ready());
    CHECK_FALSE(file->next()->has_value());
    CHECK_FALSE(file->next()->has_value());
    CHECK(file->empty_lines() == 1);
    CHECK_FALSE(file->share());
  }
  REQUIRE(::dup2(standard_input, STDIN_FILENO) == STDIN_FILENO);
  ::close(standard_input);
}

TEST_CASE("a file that cannot be read is named", "[tools]") {
  const auto missing = read_text_file("no/such/file");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message == "cannot read 'no/such/file': No such file or directory");
  CHECK_FALSE(read_text_file("/"));
  const auto prompts = PromptFile::open("no/such/file");
  REQUIRE_FALSE(prompts);
  CHECK(prompts.error().message == "cannot read 'no/such/file': No such file or directory");
  auto folder = PromptFile::open("/");
  REQUIRE(folder);
  CHECK_FALSE(folder->next());
  CHECK_FALSE(folder->next());
}
