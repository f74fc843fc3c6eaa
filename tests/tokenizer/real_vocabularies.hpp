#pragma once
// The texts that lie beside real vocabularies, with the ids that llama.cpp gives them.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/tokenizer/vocabularies.hpp"

namespace troupe::test {

inline std::string content(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The texts of an .inp file: between lines that hold the separator alone, without their last newline.
inline std::vector<std::string> texts_of(const std::string& inp) {
  constexpr std::string_view separator = "\n__ggml_vocab_test__\n";
  std::vector<std::string> texts;
  std::size_t at = 0;
  for (std::size_t end; (end = inp.find(separator, at)) != std::string::npos; at = end + separator.size()) {
    texts.push_back(inp.substr(at, end - at));
  }
  return texts;
}

/// Checks the texts of `path`.inp against the ids of `path`.out, a line for each.
inline void check_expected_ids(const Tokenizer& tokenizer, const std::string& path) {
  const auto texts = texts_of(content(path + ".inp"));
  std::istringstream expected(content(path + ".out"));
  CHECK(texts.size() == 46);
  for (const std::string& text : texts) {
    std::string line;
    REQUIRE(std::getline(expected, line));
    std::istringstream numbers(line);
    const std::vector<Token> ids(std::istream_iterator<Token>(numbers), {});
    INFO("'" << text << "'");
    CHECK(tokens_of(tokenizer, text) == ids);
    CHECK(tokenizer.decode(ids) == text);
  }
}

}  // namespace troupe::test
