#include "tokenizer/spelled_tokens.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include "tests/support/catch.hpp"
#include "tests/tokenizer/vocabularies.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using Part = std::pair<std::string, Token>;  // -1: text

std::vector<Part> parts_of(const Vocabulary& v, std::string_view text, bool parse_special) {
  std::vector<Part> parts;
  for (const auto& part : SpelledTokens(v).split(text, {.parse_special = parse_special})) {
    parts.emplace_back(part.text, part.token.value_or(-1));
  }
  return parts;
}

/// Token after token, longest first, each cut out of every stretch that is still text.
std::vector<Part> parts_by_definition(const Vocabulary& v, const std::string& text, bool parse_special) {
  std::vector<Token> order(v.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](Token a, Token b) { return v.spelling(a).size() > v.spelling(b).size(); });
  std::vector<Part> parts = {{text, -1}};
  for (Token token : order) {
    const std::string& spelling = v.spelling(token);
    if (spelling.empty() || (!parse_special && v.type(token) != TokenType::user_defined)) continue;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Part part = parts[i];
      const auto at = part.first.find(spelling);
      if (part.second != -1 || at == std::string::npos) continue;
      parts[i] = {part.first.substr(0, at), -1};
      parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                   {{spelling, token}, {part.first.substr(at + spelling.size()), -1}});
      ++i;
    }
  }
  parts.erase(std::remove_if(parts.begin(), parts.end(), [](const Part& p) { return p.first.empty(); }),
              parts.end());
  return parts;
}

}  // namespace

TEST_CASE("spelled tokens: the longest anywhere wins over one further left", "[tokenizer]") {
  Vocabulary v;
  add_token(v, "abc", 0, TokenType::user_defined);
  add_token(v, "cdef", 0, TokenType::user_defined);
  add_token(v, "ab", 0, TokenType::user_defined);
  CHECK(parts_of(v, "xabcdefy", false) == std::vector<Part>{{"x", -1}, {"ab", 2}, {"cdef", 1}, {"y", -1}});
  CHECK(parts_of(v, "abcabc", false) == std::vector<Part>{{"abc", 0}, {"abc", 0}});
  CHECK(parts_of(v, "", false).empty());
}

TEST_CASE("spelled tokens equal their definition on random vocabularies and texts", "[tokenizer]") {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    Vocabulary v;
    std::set<std::string> seen;
    for (auto count = random() % 8; count > 0; --count) {
      std::string spelling;
      for (auto length = random() % 6; length > 0; --length) spelling += "ab\xFF"[random() % 3];
      if (!seen.insert(spelling).second) continue;
      constexpr TokenType types[] = {TokenType::user_defined, TokenType::control, TokenType::unknown};
      add_token(v, spelling, 0, types[random() % 3]);
    }
    std::string text;
    for (auto length = random() % 30; length > 0; --length) text += "aab\xFF"[random() % 4];
    const bool parse_special = random() % 2 == 0;
    auto expected = parts_by_definition(v, text, parse_special);
    INFO("round " << round);
    CHECK(parts_of(v, text, parse_special) == expected);
  }
}

TEST_CASE("spelled tokens: of equal spellings the lowest id is found", "[tokenizer]") {
  Vocabulary v;
  add_token(v, "x", 0, TokenType::normal);
  add_token(v, "<a>", 0, TokenType::user_defined);
  add_token(v, "<a>", 0, TokenType::user_defined);
  CHECK(parts_of(v, "x<a>", false) == std::vector<Part>{{"x", -1}, {"<a>", 1}});
}

TEST_CASE("spelled tokens: control tokens are found only inside the ranges that are given", "[tokenizer]") {
  Vocabulary v;
  add_token(v, "<c>", 0, TokenType::control);
  add_token(v, "<u>", 0, TokenType::user_defined);
  add_token(v, "<", 0, TokenType::control);
  const std::string text = "<c><u><c>";
  const auto parts = [&](std::vector<TextRange> ranges) {
    std::vector<Part> out;
    for (const auto& part : SpelledTokens(v).split(text, {.parse_special = true, .special_ranges = ranges})) {
      out.emplace_back(part.text, part.token.value_or(-1));
    }
    return out;
  };
  CHECK(parts({}) == std::vector<Part>{{"<c>", -1}, {"<u>", 1}, {"<c>", -1}});
  CHECK(parts({{0, 9}}) == std::vector<Part>{{"<c>", 0}, {"<u>", 1}, {"<c>", 0}});
  CHECK(parts({{0, 3}}) == std::vector<Part>{{"<c>", 0}, {"<u>", 1}, {"<c>", -1}});
  CHECK(parts({{6, 9}}) == std::vector<Part>{{"<c>", -1}, {"<u>", 1}, {"<c>", 0}});
  // Not across the end of a range, nor over the gap between two.
  CHECK(parts({{0, 2}, {6, 8}}) == std::vector<Part>{{"<", 2}, {"c>", -1}, {"<u>", 1}, {"<", 2}, {"c>", -1}});
  CHECK(parts({{0, 1}, {1, 3}}).front() == Part{"<", 2});
}
