#include "tokenizer/bpe.hpp"

#include <algorithm>
#include <map>
#include <thread>

#include "tests/support/catch.hpp"
#include "tests/tokenizer/vocabularies.hpp"
#include "tokenizer/byte_alphabet.hpp"
#include "tokenizer/detokenizer.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using Tokens = std::vector<Token>;
using Merges = std::vector<std::string>;

/// The bytes as tokens 0 to 255, spelled in the byte alphabet.
Vocabulary alphabet_vocabulary() {
  Vocabulary v;
  for (unsigned byte = 0; byte < 256; ++byte) add_token(v, "");
  for (char32_t code = 0; code < 256 + 68; ++code) {
    const std::string character = utf8_encode(code);
    std::string byte;
    if (append_spelled_bytes(byte, character)) v.spellings[static_cast<unsigned char>(byte[0])] = character;
  }
  v.scores.clear();
  return v;
}

const PreTokenizer& pre_tokenizer(std::string_view name) {
  const auto found = find_pre_tokenizer(name);
  if (!found) FAIL(found.error().message);
  return **found;
}

std::unique_ptr<Tokenizer> created(const Vocabulary& v, const Merges& merges,
                                   std::string_view pre = "gpt-2") {
  auto tokenizer = BpeTokenizer::create(v, merges, pre_tokenizer(pre));
  if (!tokenizer) FAIL(tokenizer.error().message);
  return *std::move(tokenizer);
}

/// By the definition, in quadratic time: of all neighbours that merge, join those of the lowest rank.
std::vector<std::string> merged_by_definition(const Merges& merges, std::vector<std::string> parts) {
  std::map<std::string, std::size_t> ranks;
  for (std::size_t rank = 0; rank < merges.size(); ++rank) ranks.try_emplace(merges[rank], rank);
  while (true) {
    std::size_t best = parts.size();
    std::size_t best_rank = merges.size();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find(parts[i] + ' ' + parts[i + 1]);
      if (found == ranks.end() || found->second >= best_rank) continue;
      best = i;
      best_rank = found->second;
    }
    if (best == parts.size()) return parts;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

Token token_spelled(const Vocabulary& v, const std::string& spelling) {
  const auto found = std::find(v.spellings.begin(), v.spellings.end(), spelling);
  return found == v.spellings.end() ? -1 : static_cast<Token>(found - v.spellings.begin());
}

}  // namespace

TEST_CASE("the byte alphabet spells each byte with one character", "[tokenizer]") {
  const Vocabulary v = alphabet_vocabulary();
  CHECK(v.spellings['a'] == "a");
  CHECK(v.spellings[' '] == "Ġ");
  CHECK(v.spellings['\n'] == "Ċ");
  CHECK(v.spellings[0] == "Ā");
  CHECK(v.spellings[0xAD] == "Ń");
  CHECK(v.spellings[0xFF] == "ÿ");
  std::string bytes;
  CHECK_FALSE(append_spelled_bytes(bytes, "a b"));
  CHECK_FALSE(append_spelled_bytes(bytes, "語"));
  CHECK_FALSE(append_spelled_bytes(bytes, "ń"));  // one behind the last
  CHECK_FALSE(append_spelled_bytes(bytes, "\xC4"));
  CHECK_FALSE(append_spelled_bytes(bytes, "\u00AD"));
}

TEST_CASE("bpe merges the pair that stands first in the list, the leftmost of equals", "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  const Token bc = add_token(v, "bc");
  const Token ab = add_token(v, "ab");
  const Token aa = add_token(v, "aa");
  const Token space_a = add_token(v, "Ġa");
  const auto tokenizer = created(v, {"b c", "a b", "a a", "Ġ a", "a b"});
  CHECK(tokens_of(*tokenizer, "abc") == Tokens{'a', bc});
  CHECK(tokens_of(*tokenizer, "abab") == Tokens{ab, ab});
  CHECK(tokens_of(*tokenizer, "aaa") == Tokens{aa, 'a'});
  CHECK(tokens_of(*tokenizer, "aa a") == Tokens{aa, space_a});
  CHECK(tokens_of(*tokenizer, "").empty());
  CHECK(tokenizer->algorithm() == "bpe");
  CHECK(tokenizer->piece(space_a) == " a");
  CHECK(tokenizer->spelling(space_a) == "Ġa");
}

TEST_CASE("bpe equals its definition on random merges, in words short and long", "[tokenizer]") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Vocabulary v = alphabet_vocabulary();
    Merges merges;
    std::vector<std::string> parts = {"a", "b", "c", "d"};
    for (auto n = 2 + random() % 30; n > 0; --n) {
      const std::string left = parts[random() % parts.size()];
      const std::string right = parts[random() % parts.size()];
      if (left.size() + right.size() > 12) continue;
      merges.push_back(left + ' ' + right);
      parts.push_back(left + right);
      if (token_spelled(v, left + right) < 0) add_token(v, left + right);
    }
    if (round % 2 == 0) std::shuffle(merges.begin(), merges.end(), random);  // not as any training gives them
    const auto tokenizer = created(v, merges);
    std::vector<std::string> letters;
    std::string word;
    for (auto length = random() % (round % 3 == 0 ? 300 : 30); length > 0; --length) {
      letters.emplace_back(1, "abcd"[random() % 4]);
      word += letters.back();
    }
    Tokens expected;
    for (const std::string& part : merged_by_definition(merges, letters)) {
      expected.push_back(token_spelled(v, part));
    }
    INFO("round " << round << ": " << word);
    CHECK(tokens_of(*tokenizer, word) == expected);
    CHECK(tokens_of(*tokenizer, word) == expected);  // what is remembered of words changes nothing
  }
}

TEST_CASE("bpe takes a word that is a token whole only where the pre-tokenizer ignores merges",
          "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  const Token abc = add_token(v, "abc");
  const Token bc = add_token(v, "bc");
  CHECK(tokens_of(*created(v, {"b c"}), "abc") == Tokens{'a', bc});
  CHECK(tokens_of(*created(v, {"b c"}, "llama-bpe"), "abc") == Tokens{abc});
  CHECK(tokens_of(*created(v, {"b c"}, "glm4"), "abc") == Tokens{'a', bc});
  CHECK(tokens_of(*created(v, {"b c"}, "tekken"), "abc xabc") == Tokens{abc, ' ', 'x', 'a', bc});
}

TEST_CASE("bpe spells what merges into no token in bytes", "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  const Token abcd = add_token(v, "abcd");
  const auto tokenizer = created(v, {"a b", "c d", "ab cd"});
  CHECK(tokens_of(*tokenizer, "abcd") == Tokens{abcd});
  CHECK(tokens_of(*tokenizer, "abc") == Tokens{'a', 'b', 'c'});
}

TEST_CASE("bpe leaves out bytes that the vocabulary lacks, but for an unknown token that is one by type",
          "[tokenizer]") {
  Vocabulary v;
  add_token(v, "a");
  CHECK(tokens_of(*created(v, {}), "aba") == Tokens{0, 0});
  CHECK(tokens_of(*created(v, {"b b"}), "bbb").empty());
  v.unknown = add_token(v, "<|endoftext|>", 0, TokenType::control);
  CHECK(tokens_of(*created(v, {}), "aba") == Tokens{0, 0});
  v.unknown = add_token(v, "<unk>", 0, TokenType::unknown);
  CHECK(tokens_of(*created(v, {}), "aba") == Tokens{0, *v.unknown, 0});
}

TEST_CASE("bpe makes control tokens of a text only with parse_special, not by merging either",
          "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  const Token end = add_token(v, "<e>", 0, TokenType::control);
  const Token tool = add_token(v, "[T]", 0, TokenType::user_defined);
  const Token spaces = add_token(v, "  ", 0, TokenType::user_defined);
  const auto tokenizer = created(v, {"< e", "<e >"}, "llama-bpe");
  CHECK(tokens_of(*tokenizer, "<e>") == Tokens{'<', 'e', '>'});
  CHECK(tokens_of(*tokenizer, "a<e>[T]b", {.parse_special = true}) == Tokens{'a', end, tool, 'b'});
  CHECK(tokens_of(*tokenizer, "[T]   x") == Tokens{tool, spaces, ' ', 'x'});
  CHECK(tokenizer->decode(Tokens{'a', end, tool, spaces, 'b'}) == "a[T]  b");
  CHECK(tokenizer->decode(Tokens{'a', end, tool, -1, 100000}, true) == "a<e>[T]");
  CHECK(tokenizer->piece(end).empty());
}

TEST_CASE("bpe brings text with tokens spelled outside of the byte alphabet back", "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  add_token(v, "Ġa", 0, TokenType::user_defined);  // these five letters, not a space and an a
  add_token(v, "語", 0, TokenType::normal);
  add_token(v, "a b", 0, TokenType::normal);
  const auto tokenizer = created(v, {"Ġ a", "èª ŀ", "語 a"});
  for (const char* text : {" a a", "Ġa", "語a", "a b"}) {
    CHECK(tokenizer->decode(tokens_of(*tokenizer, text)) == text);
  }
}

TEST_CASE("bpe adds BOS and EOS only when asked and only where the vocabulary wants them", "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  v.bos = add_token(v, "<s>", 0, TokenType::control);
  v.eos = add_token(v, "</s>", 0, TokenType::control);
  v.adds_bos = true;
  v.adds_eos = true;
  const auto tokenizer = created(v, {});
  CHECK(tokens_of(*tokenizer, "a") == Tokens{'a'});
  CHECK(tokens_of(*tokenizer, "a", {.add_special = true}) == Tokens{*v.bos, 'a', *v.eos});
  CHECK(tokenizer->decode(Tokens{*v.bos, 'a', *v.eos}) == "a");
  CHECK(BpeTokenizer::defaults(pre_tokenizer("llama-bpe")).adds_bos);
  CHECK(BpeTokenizer::defaults(pre_tokenizer("tekken")).adds_bos);
  CHECK(BpeTokenizer::defaults(pre_tokenizer("lfm2")).adds_bos);
  CHECK_FALSE(BpeTokenizer::defaults(pre_tokenizer("glm4")).adds_bos);
  CHECK_FALSE(BpeTokenizer::defaults(pre_tokenizer("gpt-2")).adds_bos);
  CHECK_FALSE(BpeTokenizer::defaults(pre_tokenizer("qwen2")).adds_bos);
}

TEST_CASE("bpe brings any bytes back, whole and streamed", "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  const std::string e_acute = "Ã©";
  add_token(v, e_acute);
  add_token(v, "Ġ" + e_acute);
  const auto tokenizer = created(v, {"Ã ©", "Ġ " + e_acute});
  std::mt19937 random(13);
  for (int round = 0; round < 500; ++round) {
    const std::string text =
        round % 2 == 0 ? random_bytes(random, random() % 100) : random_characters(random, random() % 100);
    const Tokens tokens = tokens_of(*tokenizer, text);
    INFO(printable(text, 1000));
    CHECK(tokenizer->decode(tokens) == text);
    Detokenizer detokenizer(*tokenizer);
    std::string streamed;
    for (const Token token : tokens) streamed += detokenizer.push(token);
    CHECK(streamed + detokenizer.finish() == replace_invalid_utf8(text));
  }
}

TEST_CASE("bpe refuses a merge that is not two parts", "[tokenizer]") {
  for (const char* merge : {"", " ", "a", "ab ", " a"}) {
    const auto refused = BpeTokenizer::create(alphabet_vocabulary(), {"a b", merge}, pre_tokenizer("gpt-2"));
    INFO('"' << merge << '"');
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().code == Errc::bad_file);
    CHECK(refused.error().message.find("tokenizer.ggml.merges") != std::string::npos);
    CHECK(refused.error().message.find("entry 1;") != std::string::npos);
  }
}

TEST_CASE("bpe encodes ten megabytes of one word and two of one character", "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  Merges merges;
  for (const std::string& letter : {std::string("a"), std::string("Ġ"), std::string("."), std::string("Ċ")}) {
    std::string run = letter;
    for (int doublings = 0; doublings < 5; ++doublings) {
      merges.push_back(run + ' ' + run);
      add_token(v, run += run);
    }
  }
  std::string word;
  std::mt19937 random(1);
  while (word.size() < 10'000'000) word += static_cast<char>('a' + random() % 3);
  const auto plain = created(v, merges);
  CHECK((plain->decode(tokens_of(*plain, word)) == word));
  for (const char* name : {"llama-bpe", "deepseek-llm"}) {
    const auto tokenizer = created(v, merges, name);
    for (const char c : {'a', ' ', '.', '\n', '1', '\xFF'}) {
      const std::string text = std::string(2'000'000, c) + 'x';
      INFO(name << ' ' << printable(std::string(1, c)));
      CHECK((tokenizer->decode(tokens_of(*tokenizer, text)) == text));
    }
  }
}

TEST_CASE("bpe encodes the same in many threads at once", "[tokenizer]") {
  Vocabulary v = alphabet_vocabulary();
  Merges merges;
  std::mt19937 random(17);
  for (char a = 'a'; a <= 'z'; ++a) {
    for (char b = 'a'; b <= 'z'; ++b) {
      merges.push_back(std::string{a, ' ', b});
      add_token(v, std::string{a, b});
    }
  }
  std::string text;
  for (int i = 0; i < 20000; ++i) {
    for (auto length = 1 + random() % 3; length > 0; --length) text += static_cast<char>('a' + random() % 26);
    text += ' ';
  }
  const Tokens expected = tokens_of(*created(v, merges), text);
  const auto tokenizer = created(v, merges);
  std::vector<Tokens> results(4);
  std::vector<std::thread> threads;
  for (Tokens& result : results) {
    threads.emplace_back([&] {
      auto tokens = tokenizer->encode(text);
      if (tokens) result = *std::move(tokens);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Tokens& result : results) CHECK((result == expected));
}
