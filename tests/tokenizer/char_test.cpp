#include "tokenizer/char.hpp"

#include "tests/support/catch.hpp"
#include "tests/tokenizer/vocabularies.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using Tokens = std::vector<Token>;

Vocabulary letters() {
  Vocabulary v;
  for (const char* letter : {"a", "é", "語", "🙂", " "}) add_token(v, letter);
  return v;
}

std::unique_ptr<Tokenizer> created(Vocabulary v) {
  auto tokenizer = CharTokenizer::create(std::move(v));
  if (!tokenizer) FAIL(tokenizer.error().message);
  return *std::move(tokenizer);
}

void check_refused(const Tokenizer& tokenizer, std::string_view text, std::string_view character,
                   std::string_view place) {
  const auto refused = tokenizer.encode(text);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == Errc::bad_argument);
  INFO(refused.error().message);
  CHECK(refused.error().message.find(character) != std::string::npos);
  CHECK(refused.error().message.find(place) != std::string::npos);
  CHECK(is_valid_utf8(refused.error().message));
}

}  // namespace

TEST_CASE("char makes one token of each character and the text of them again", "[tokenizer]") {
  const auto tokenizer = created(letters());
  CHECK(tokens_of(*tokenizer, "a語 🙂é") == Tokens{0, 2, 4, 3, 1});
  CHECK(tokenizer->decode(Tokens{0, 2, 4, 3, 1}) == "a語 🙂é");
  CHECK(tokenizer->decode(Tokens{4, 0, 77, -5}) == " a");
  CHECK(tokens_of(*tokenizer, "").empty());
  CHECK(tokenizer->algorithm() == "char");
  CHECK(tokenizer->piece(3) == "🙂");
}

TEST_CASE("char refuses an unknown character by name and place, unknown token or not", "[tokenizer]") {
  Vocabulary v = letters();
  check_refused(*created(v), "aéü", "'ü' (U+00FC)", "byte 3 ");
  check_refused(*created(v), "a\n", "'\\n' (U+000A)", "byte 1 ");
  check_refused(*created(v), "🙂\xFF", "\\xff", "byte 4 ");
  v.unknown = add_token(v, "<unk>", 0, TokenType::unknown);
  check_refused(*created(v), "b", "'b' (U+0062)", "byte 0 ");
}

TEST_CASE("char finds control tokens only with parse_special and names places in the whole text",
          "[tokenizer]") {
  Vocabulary v = letters();
  v.bos = add_token(v, "<s>", 0, TokenType::control);
  v.adds_bos = true;
  const auto tokenizer = created(v);
  CHECK(tokens_of(*tokenizer, "a<s>a", {.parse_special = true}) == Tokens{0, 5, 0});
  CHECK(tokens_of(*tokenizer, "a", {.add_special = true}) == Tokens{5, 0});
  CHECK(tokenizer->decode(Tokens{5, 0}) == "a");
  CHECK(tokenizer->decode(Tokens{5, 0}, true) == "<s>a");
  check_refused(*tokenizer, "a<s>", "'<' (U+003C)", "byte 1 ");
  const auto late = tokenizer->encode("a<s>x", {.parse_special = true});
  REQUIRE_FALSE(late.ok());
  CHECK(late.error().message.find("byte 4 ") != std::string::npos);
}

TEST_CASE("char refuses a vocabulary in which a token is no single character", "[tokenizer]") {
  for (const char* spelling : {"", "ab", "\xFF", "a\xFF", "\xC3"}) {
    Vocabulary v = letters();
    add_token(v, spelling);
    const auto refused = CharTokenizer::create(v);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::bad_file);
    CHECK(refused.error().message.find("tokenizer.ggml.tokens") != std::string::npos);
    CHECK(refused.error().message.find("token 5") != std::string::npos);
  }
}
