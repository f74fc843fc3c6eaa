#pragma once
// Vocabularies and random texts for the tests of this room.

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.hpp"
#include "tests/support/catch.hpp"
#include "tokenizer/vocabulary.hpp"

namespace troupe::test {

/// The bytes <0x00> to <0xFF> as tokens 0 to 255.
inline Vocabulary byte_vocabulary() {
  Vocabulary v;
  for (unsigned byte = 0; byte < 256; ++byte) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    v.spellings.push_back(std::string("<0x") + digits[byte >> 4] + digits[byte & 15] + ">");
    v.types.push_back(TokenType::byte);
    v.scores.push_back(0);
  }
  return v;
}

/// Appends a token and returns its id.
inline Token add_token(Vocabulary& v, std::string spelling, double score = 0,
                       TokenType type = TokenType::normal) {
  v.spellings.push_back(std::move(spelling));
  v.types.push_back(type);
  v.scores.push_back(score);
  return static_cast<Token>(v.size() - 1);
}

inline std::string random_bytes(std::mt19937& random, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(random() & 0xFF);
  return text;
}

/// Characters of every length, ASCII and spaces more often than the rest, never U+2581.
inline std::string random_characters(std::mt19937& random, std::size_t characters) {
  std::string text;
  while (characters > 0) {
    const auto kind = random() % 8;
    const char32_t limit = kind < 4 ? 0x80 : kind < 5 ? 0x800 : kind < 7 ? 0x10000 : 0x110000;
    const char32_t code = kind == 0 ? U' ' : static_cast<char32_t>(random() % limit);
    if ((code >= 0xD800 && code < 0xE000) || code == 0x2581) continue;
    text += utf8_encode(code);
    --characters;
  }
  return text;
}

inline std::vector<Token> tokens_of(const Tokenizer& tokenizer, std::string_view text,
                                    EncodeOptions options = {}) {
  auto tokens = tokenizer.encode(text, options);
  if (!tokens) FAIL(tokens.error().message);
  return *std::move(tokens);
}

}  // namespace troupe::test
