#include "tokenizer/detokenizer.hpp"

#include <unordered_set>

#include "tests/support/catch.hpp"
#include "tests/tokenizer/vocabularies.hpp"
#include "tokenizer/spm.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

const SpmTokenizer& byte_tokenizer() {
  static const SpmTokenizer tokenizer(byte_vocabulary());
  return tokenizer;
}

/// The bytes of `text` as tokens of one byte each, joined as they were handed out. Checks each part.
std::string streamed(std::string_view text) {
  Detokenizer detokenizer(byte_tokenizer());
  std::string out;
  for (char byte : text) {
    const std::string part = detokenizer.push(static_cast<unsigned char>(byte));
    CHECK(is_valid_utf8(part));
    out += part;
  }
  const std::string last = detokenizer.finish();
  CHECK((last.empty() || last == replacement_character));
  CHECK(detokenizer.finish().empty());
  return out + last;
}

std::string key(std::string_view bytes) {
  return std::string(bytes);
}

/// All characters there are, and every true prefix of one, from the numbers alone.
struct AllCharacters {
  std::unordered_set<std::string> whole, prefixes;

  AllCharacters() {
    for (char32_t code = 0; code < 0x110000; ++code) {
      if (code >= 0xD800 && code < 0xE000) continue;
      std::string bytes;
      if (code < 0x80) {
        bytes = {static_cast<char>(code)};
      } else {
        char32_t rest = code;
        const std::size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        for (std::size_t i = 1; i < length; ++i, rest /= 64) {
          bytes.insert(bytes.begin(), static_cast<char>(0x80 + rest % 64));
        }
        bytes.insert(bytes.begin(), static_cast<char>((0xF00 >> length) % 256 + rest));
      }
      for (std::size_t length = 1; length < bytes.size(); ++length) prefixes.insert(bytes.substr(0, length));
      whole.insert(bytes);
    }
  }
};

/// Table 3-8 by definition: a whole character, or else U+FFFD for the longest prefix of one, or for one byte.
std::string replaced_by_definition(std::string_view text) {
  static const AllCharacters all;
  std::string out;
  while (!text.empty()) {
    std::size_t whole = 0;
    std::size_t prefix = 1;
    for (std::size_t length = 1; length <= std::min<std::size_t>(4, text.size()); ++length) {
      if (all.whole.count(key(text.substr(0, length))) != 0) whole = length;
      if (all.prefixes.count(key(text.substr(0, length))) != 0) prefix = length;
    }
    out += whole > 0 ? text.substr(0, whole) : replacement_character;
    text.remove_prefix(whole > 0 ? whole : prefix);
  }
  return out;
}

}  // namespace

TEST_CASE("detokenizer replaces maximal subparts as the standard's table 3-8 shows", "[tokenizer]") {
  const std::string r(replacement_character);
  CHECK(streamed("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64") ==
        "a" + r + r + r + "b" + r + "c" + r + r + "d");
  CHECK(streamed("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41") == r + r + r + r + r + r + r + r + "A");
  CHECK(streamed("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41") == r + r + r + r + r + r + r + r + "A");
  CHECK(streamed("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42") == r + r + r + r + r + "A" + r + r + "B");
  CHECK(streamed("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41") == r + r + r + r + "A");
}

TEST_CASE("detokenizer gives every pair of bytes and every lead with two more as the definition does",
          "[tokenizer]") {
  std::size_t wrong = 0;
  for (unsigned first = 0; first < 256; ++first) {
    for (unsigned second = 0; second < 256; ++second) {
      std::string text = {static_cast<char>(first), static_cast<char>(second)};
      if (streamed(text) != replaced_by_definition(text)) ++wrong;
      if (first < 0xC0) continue;
      for (unsigned char third : {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF}) {
        const std::string longer = text + static_cast<char>(third);
        if (replace_invalid_utf8(longer) != replaced_by_definition(longer)) ++wrong;
      }
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("detokenizer equals the decoding of all bytes at once on random bytes", "[tokenizer]") {
  std::mt19937 random(11);
  for (int round = 0; round < 500; ++round) {
    // Bytes that are likely to follow each other in characters, and any.
    std::string text;
    for (int i = 0; i < 40; ++i) {
      const auto kind = random() % 4;
      text += static_cast<char>(kind == 0   ? random() % 256
                                : kind == 1 ? 0xC0 + random() % 64
                                            : 0x80 + random() % 64);
    }
    const std::string expected = replaced_by_definition(text);
    CHECK(streamed(text) == expected);
    CHECK(replace_invalid_utf8(text) == expected);
    CHECK(is_valid_utf8(expected));
  }
}

TEST_CASE("detokenizer hands out whole characters wherever tokens split them", "[tokenizer]") {
  const std::string text = "aé語🙂z\xF0\x9F\x99";  // ends inside of a character
  std::vector<std::size_t> cuts(3);
  for (cuts[0] = 0; cuts[0] <= text.size(); ++cuts[0]) {
    for (cuts[1] = cuts[0]; cuts[1] <= text.size(); ++cuts[1]) {
      for (cuts[2] = cuts[1]; cuts[2] <= text.size(); ++cuts[2]) {
        Vocabulary v;
        add_token(v, text.substr(0, cuts[0]));
        add_token(v, text.substr(cuts[0], cuts[1] - cuts[0]));
        add_token(v, text.substr(cuts[1], cuts[2] - cuts[1]));
        add_token(v, text.substr(cuts[2]));
        const SpmTokenizer tokenizer(v);
        Detokenizer detokenizer(tokenizer);
        std::string out;
        for (Token token = 0; token < 4; ++token) {
          const std::string part = detokenizer.push(token);
          REQUIRE(is_valid_utf8(part));
          out += part;
        }
        REQUIRE(out == "aé語🙂z");
        REQUIRE(detokenizer.finish() == replacement_character);
      }
    }
  }
}

TEST_CASE("detokenizer gives nothing for control tokens and keeps what it holds across them", "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  const Token control = add_token(v, "<c>", 0, TokenType::control);
  const SpmTokenizer tokenizer(v);
  Detokenizer detokenizer(tokenizer);
  CHECK(detokenizer.push(0xC3).empty());
  CHECK(detokenizer.push(control).empty());
  CHECK(detokenizer.push(-1).empty());
  CHECK(detokenizer.push(0xA9) == "é");
  CHECK(detokenizer.finish().empty());
}
