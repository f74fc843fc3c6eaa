#include "tokenizer/spm.hpp"

#include <algorithm>

#include "tests/support/catch.hpp"
#include "tests/tokenizer/vocabularies.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using Tokens = std::vector<Token>;

/// By the definition, in quadratic time: of all neighbours that are a piece together, join the best.
Tokens merged_by_definition(const Vocabulary& v, const std::vector<std::string>& characters) {
  const auto find = [&](const std::string& text) -> Token {
    for (std::size_t i = 0; i < v.size(); ++i) {
      if (v.types[i] == TokenType::normal && v.spellings[i] == text) return static_cast<Token>(i);
    }
    return -1;
  };
  std::vector<std::string> symbols = characters;
  while (true) {
    std::size_t best = symbols.size();
    double best_score = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Token token = find(symbols[i] + symbols[i + 1]);
      if (token < 0) continue;
      const double score = v.scores[static_cast<std::size_t>(token)];
      if (best == symbols.size() || score > best_score) {
        best = i;
        best_score = score;
      }
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Tokens tokens;
  for (const std::string& symbol : symbols) {
    if (const Token token = find(symbol); token >= 0) {
      tokens.push_back(token);
    } else {
      for (char byte : symbol) tokens.push_back(static_cast<unsigned char>(byte));
    }
  }
  return tokens;
}

}  // namespace

TEST_CASE("spm merges the pair with the best score first, the leftmost of equals", "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  const Token ab = add_token(v, "ab", -2);
  const Token bc = add_token(v, "bc", -1);
  const Token aa = add_token(v, "aa", -3);
  const SpmTokenizer tokenizer(v);
  CHECK(tokens_of(tokenizer, "abc") == Tokens{'a', bc});
  CHECK(tokens_of(tokenizer, "ab") == Tokens{ab});
  CHECK(tokens_of(tokenizer, "aaa") == Tokens{aa, 'a'});
  CHECK(tokens_of(tokenizer, "").empty());
}

TEST_CASE("spm equals its definition on random vocabularies and texts", "[tokenizer]") {
  std::mt19937 random(7);
  const std::vector<std::string> alphabet = {"a", "b", "c", "\xE2\x96\x81", "é"};
  for (int round = 0; round < 300; ++round) {
    Vocabulary v = byte_vocabulary();
    const auto pieces = 3 + random() % 25;
    for (std::size_t i = 0; i < pieces; ++i) {
      std::string piece;
      for (auto length = 1 + random() % 4; length > 0; --length)
        piece += alphabet[random() % alphabet.size()];
      if (std::find(v.spellings.begin(), v.spellings.end(), piece) != v.spellings.end()) continue;
      add_token(v, piece, -static_cast<double>(random() % 8));  // few scores: many ties
    }
    const SpmTokenizer tokenizer(v);
    std::vector<std::string> characters;
    std::string text;
    for (auto length = random() % 40; length > 0; --length) {
      characters.push_back(alphabet[random() % alphabet.size()]);
      text += characters.back() == "\xE2\x96\x81" ? " " : characters.back();
    }
    INFO("round " << round << ": '" << text << "'");
    CHECK(tokens_of(tokenizer, text) == merged_by_definition(v, characters));
  }
}

TEST_CASE("spm puts a space in front where the vocabulary says so, and takes it off again", "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  const Token space = add_token(v, "\xE2\x96\x81");
  const SpmTokenizer plain(v);
  v.adds_space_prefix = true;
  const SpmTokenizer prefixing(v);
  CHECK(tokens_of(plain, "a b") == Tokens{'a', space, 'b'});
  CHECK(tokens_of(prefixing, "a b") == Tokens{space, 'a', space, 'b'});
  CHECK(tokens_of(prefixing, "").empty());
  CHECK(prefixing.decode(Tokens{space, 'a', space, 'b'}) == "a b");
  CHECK(prefixing.decode(Tokens{space, space, 'a'}) == " a");
  CHECK(plain.decode(Tokens{space, 'a'}) == " a");
  CHECK(prefixing.piece(space) == " ");
  CHECK(prefixing.spelling(space) == "\xE2\x96\x81");
}

TEST_CASE("spm spells what is no piece in bytes, or with the unknown token, or refuses", "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  const SpmTokenizer bytes(v);
  CHECK(tokens_of(bytes, "é\xFF") == Tokens{0xC3, 0xA9, 0xFF});
  CHECK(bytes.decode(Tokens{0xC3, 0xA9, 0xFF}) == "é\xFF");
  const Token ab = add_token(v, "ab");
  CHECK(tokens_of(SpmTokenizer(v), "\xE2\x61\x62\xE2\x96") == Tokens{0xE2, ab, 0xE2, 0x96});
  CHECK(bytes.piece(0xC3) == "\xC3");
  CHECK(bytes.spelling(0xC3) == "<0xC3>");

  Vocabulary few;
  add_token(few, "a");
  const SpmTokenizer refusing(few);
  const auto refused = refusing.encode("aé");
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::bad_argument);
  CHECK(refused.error().message.find("'é'") != std::string::npos);
  CHECK(refused.error().message.find('\n') == std::string::npos);

  few.unknown = add_token(few, "<unk>", 0, TokenType::unknown);
  const SpmTokenizer unknowing(few);
  CHECK(tokens_of(unknowing, "aéa") == Tokens{0, 1, 0});
  CHECK(unknowing.decode(Tokens{0, 1, 0}) == "aa");
  CHECK(unknowing.decode(Tokens{0, 1, 0}, true) == "a<unk>a");
  CHECK(unknowing.is_control(1));
}

TEST_CASE("spm adds BOS and EOS only when asked and only where the vocabulary wants them", "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  v.bos = add_token(v, "<s>", 0, TokenType::control);
  v.eos = add_token(v, "</s>", 0, TokenType::control);
  v.adds_bos = true;
  const SpmTokenizer with_bos(v);
  v.adds_eos = true;
  const SpmTokenizer with_both(v);
  const EncodeOptions special{.add_special = true};
  CHECK(tokens_of(with_bos, "a") == Tokens{'a'});
  CHECK(tokens_of(with_bos, "a", special) == Tokens{*v.bos, 'a'});
  CHECK(tokens_of(with_both, "a", special) == Tokens{*v.bos, 'a', *v.eos});
  CHECK(tokens_of(with_both, "", special) == Tokens{*v.bos, *v.eos});
  CHECK(with_both.decode(Tokens{*v.bos, 'a', *v.eos}) == "a");
  CHECK(with_both.decode(Tokens{*v.bos, 'a', *v.eos}, true) == "<s>a</s>");
  CHECK(with_both.decode(Tokens{-1, 'a', 1000000}) == "a");
}

TEST_CASE("spm makes control tokens of a text only with parse_special", "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  const Token end = add_token(v, "<e>", 0, TokenType::control);
  const Token tool = add_token(v, "[T]", 0, TokenType::user_defined);
  add_token(v, "<e", 0);  // would let "<e>" come together by merging
  const Token space = add_token(v, "\xE2\x96\x81");
  v.adds_space_prefix = true;
  const SpmTokenizer tokenizer(v);

  const Tokens plain = tokens_of(tokenizer, "a<e>[T]b");
  CHECK(std::count(plain.begin(), plain.end(), end) == 0);
  CHECK(std::count(plain.begin(), plain.end(), tool) == 1);
  CHECK(tokenizer.decode(plain) == "a<e>[T]b");

  const Tokens parsed = tokens_of(tokenizer, "a<e>[T]b", {.parse_special = true});
  CHECK(parsed == Tokens{space, 'a', end, tool, space, 'b'});
  CHECK(tokenizer.decode(parsed) == "a[T]b");
  CHECK(tokenizer.decode(parsed, true) == "a<e>[T]b");
  const Tokens byte_spelled = tokens_of(tokenizer, "<0x41>", {.parse_special = true});
  CHECK(tokenizer.decode(byte_spelled) == "<0x41>");
}

TEST_CASE("spm brings a text with user-defined tokens back, spaces beside and inside of them",
          "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  const std::string space = "\xE2\x96\x81";
  for (const std::string& piece : {space, space + space, space + "a", std::string("ba")}) add_token(v, piece);
  for (const std::string& spelling :
       {std::string("  "), std::string("ab"), std::string(" c"), space + space + "b"}) {
    add_token(v, spelling, 1, TokenType::user_defined);
  }
  std::mt19937 random(9);
  for (const bool prefix : {false, true}) {
    v.adds_space_prefix = prefix;
    const SpmTokenizer tokenizer(v);
    for (int round = 0; round < 2000; ++round) {
      std::string text;
      for (auto length = random() % 12; length > 0; --length) text += "abc  "[random() % 5];
      INFO(prefix << " '" << text << "'");
      CHECK(tokenizer.decode(tokens_of(tokenizer, text)) == text);
    }
  }
}

TEST_CASE("spm ends generation at EOS, BOS, end of turn and tokens spelled like one", "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  v.bos = add_token(v, "<s>", 0, TokenType::control);
  v.eos = add_token(v, "</s>", 0, TokenType::control);
  v.end_of_turn = add_token(v, "<turn>", 0, TokenType::control);
  v.end_of_message = add_token(v, "<message>", 0, TokenType::control);
  const Token im_end = add_token(v, "<|im_end|>", 0, TokenType::control);
  const Token im_start = add_token(v, "<|im_start|>", 0, TokenType::control);
  const SpmTokenizer tokenizer(v);
  for (Token token : {*v.bos, *v.eos, *v.end_of_turn, *v.end_of_message, im_end}) {
    CHECK(tokenizer.ends_generation(token));
  }
  for (Token token : {im_start, Token{'a'}, Token{-1}, Token{1000000}}) {
    CHECK_FALSE(tokenizer.ends_generation(token));
  }
}

TEST_CASE("spm encodes two megabytes of one repeated character", "[tokenizer]") {
  Vocabulary v = byte_vocabulary();
  std::string piece = "\xE2\x96\x81";
  for (int doublings = 0; doublings < 5; ++doublings) add_token(v, piece += piece, doublings);
  for (std::string a = "aa"; a.size() <= 64; a += a) add_token(v, a, -static_cast<double>(a.size()));
  const SpmTokenizer tokenizer(v);
  for (char c : {' ', 'a', '\xE2'}) {
    const std::string text(2'000'000, c);
    CHECK(tokenizer.decode(tokens_of(tokenizer, text)) == text);
  }
}
