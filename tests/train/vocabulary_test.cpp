#include <map>
#include <string>
#include <vector>

#include "formats/checkpoint.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "tokenizer/load.hpp"
#include "train/bpe_trainer.hpp"
#include "train/corpus.hpp"
#include "train/texts.hpp"

using namespace troupe;
using namespace troupe::train;
using namespace troupe::test;

namespace {

std::unique_ptr<Tokenizer> learn(const std::string& text, const std::string& vocabulary) {
  const TemporaryFolder folder;
  const std::filesystem::path paths[] = {folder.file("text.txt", text)};
  const auto files = read_texts(paths);
  REQUIRE(files);
  const auto choice = parse_vocabulary(vocabulary);
  REQUIRE(choice);
  auto metadata = learn_vocabulary(*choice, *files, {});
  if (!metadata) FAIL(metadata.error().message);
  Checkpoint words;
  words.metadata = std::move(*metadata);
  auto tokenizer = load_tokenizer(words);
  if (!tokenizer) FAIL(tokenizer.error().message);
  return std::move(*tokenizer);
}

std::string learning_error(const std::string& text, const std::string& vocabulary) {
  const TemporaryFolder folder;
  const std::filesystem::path paths[] = {folder.file("text.txt", text)};
  const auto files = read_texts(paths);
  REQUIRE(files);
  const auto metadata = learn_vocabulary(*parse_vocabulary(vocabulary), *files, {});
  REQUIRE_FALSE(metadata);
  CHECK(metadata.error().code == Errc::bad_argument);
  return metadata.error().message;
}

}  // namespace

TEST_CASE("a BPE vocabulary learnt twice from a text is the same", "[train][vocabulary]") {
  const std::string text = verses();
  const std::string_view documents[] = {text};
  const auto first = learn_bpe(documents, 60), second = learn_bpe(documents, 60);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(first->tokens.size() == 256 + 60);
  CHECK(first->merges.size() == 60);
  CHECK((first->tokens == second->tokens));
  CHECK((first->merges == second->merges));
}

TEST_CASE("BPE joins the most frequent neighbours first, the lower tokens where they are as frequent",
          "[train][vocabulary]") {
  // Words: "abab" and six of " abab", " cd" twice, " ef" twice; neighbours count inside of words only.
  const std::string text = "abab abab abab abab abab abab abab cd cd ef ef";
  const std::string_view documents[] = {text};
  const auto learnt = learn_bpe(documents, 4);
  REQUIRE(learnt);
  CHECK(learnt->merges[0] == "a b");     // 14 times
  CHECK(learnt->merges[1] == "ab ab");   // 7 times
  CHECK(learnt->merges[2] == "Ġ abab");  // 6 times
  CHECK(learnt->tokens[256] == "ab");
  CHECK(learnt->tokens[258] == "Ġabab");
  CHECK(learnt->merges[3] == "c d");  // "c d", "e f", "Ġ c" and "Ġ e" come twice; c is the lowest
}

TEST_CASE("a learnt BPE vocabulary gives every text back", "[train][vocabulary]") {
  const auto tokenizer = learn(verses(), "bpe:330");
  CHECK(tokenizer->vocab_size() == 330);
  CHECK(tokenizer->algorithm() == "bpe");
  const auto tokens = tokenizer->encode(verses());
  REQUIRE(tokens);
  CHECK(tokens->size() < verses().size() * 7 / 10);
  CHECK(tokenizer->decode(*tokens) == verses());
  for (const std::string& text : {std::string("Zebras\t\n\n  and 日本 \xF0\x9F\x99\x82!"),
                                  std::string("\xFF\x00\x80", 3), std::string()}) {
    const auto others = tokenizer->encode(text);
    REQUIRE(others);
    CHECK(tokenizer->decode(*others) == text);
  }
}

TEST_CASE("a learnt character vocabulary has each character once and the document mark last",
          "[train][vocabulary]") {
  const auto tokenizer = learn("héllo", "char");
  REQUIRE(tokenizer->vocab_size() == 5);
  CHECK(tokenizer->piece(0) == "h");
  CHECK(tokenizer->piece(1) == "l");
  CHECK(tokenizer->piece(2) == "o");
  CHECK(tokenizer->piece(3) == "é");
  CHECK(tokenizer->spelling(4) == document_mark);
  CHECK(tokenizer->bos() == 4);
  CHECK(tokenizer->eos() == 4);
  CHECK(tokenizer->ends_generation(4));
  CHECK(*tokenizer->encode("olé", {true, false}) == std::vector<Token>{4, 2, 1, 3});
  CHECK_FALSE(tokenizer->encode("x"));
}

TEST_CASE("a text too small for a vocabulary, or that has no characters, is refused", "[train][vocabulary]") {
  CHECK_HAS(learning_error("abc", "bpe:5000"), "at most 257 tokens");
  CHECK_HAS(learning_error("ab\xFF", "char"), "byte 2");
  for (const char* text : {"bpe", "bpe:", "bpe:256", "bpe:65537", "bpe:12x", "words", ""}) {
    const auto choice = parse_vocabulary(text);
    REQUIRE_FALSE(choice);
    CHECK_HAS(choice.error().message, "bpe:N");
  }
}

TEST_CASE("documents are cut at their marks and held back whole", "[train][corpus]") {
  const TemporaryFolder folder;
  const std::string mark(document_mark);
  const std::filesystem::path paths[] = {
      folder.file("text.txt", "aa \n" + mark + "\n bb" + mark + mark + "ab" + mark + "ba")};
  const auto files = read_texts(paths);
  REQUIRE(files);
  CHECK((*files)[0].documents == std::vector<std::string_view>{"aa", "bb", "ab", "ba"});
  Checkpoint words;
  words.metadata = *learn_vocabulary({}, *files, {});
  const auto tokenizer = load_tokenizer(words);
  REQUIRE(tokenizer);
  const auto corpus = encode_corpus(**tokenizer, *files, {}, 0.25);
  REQUIRE(corpus);
  CHECK(corpus->training.tokens == std::vector<Token>{2, 0, 0, 2, 1, 1, 2, 0, 1, 2});
  CHECK(corpus->validation.tokens == std::vector<Token>{2, 1, 0, 2});
  CHECK(corpus->training.bytes == 6);
  CHECK(corpus->validation.bytes == 2);
  const auto other = encode_corpus(**tokenizer, *files, {}, 0.5);
  CHECK(other->fingerprint != corpus->fingerprint);
}

TEST_CASE("a last document that is larger than what is to be held back is cut", "[train][corpus]") {
  const TemporaryFolder folder;
  std::string last(1000, 'b');
  last[899] = 'a';
  const std::filesystem::path paths[] = {folder.file("text.txt", "aa" + std::string(document_mark) + last)};
  const auto files = read_texts(paths);
  REQUIRE(files);
  Checkpoint words;
  words.metadata = *learn_vocabulary({}, *files, {});
  const auto tokenizer = load_tokenizer(words);
  REQUIRE(tokenizer);
  const auto corpus = encode_corpus(**tokenizer, *files, {}, 0.1);
  REQUIRE(corpus);
  CHECK(corpus->training.bytes == 901);
  REQUIRE(corpus->validation.bytes == 101);
  CHECK(corpus->training.tokens.size() == 2 + 901 + 1);  // marks: one before each document, one at the end
  CHECK(corpus->validation.tokens[1] == 0);              // the other a
}

TEST_CASE("windows are drawn by seed and number alone, from the whole text", "[train][corpus]") {
  TokenText text;
  for (Token i = 0; i < 20; ++i) text.tokens.push_back(i);
  std::vector<Token> inputs(8), targets(8), again(4), unused(4);
  std::map<Token, int> starts;
  for (std::uint64_t number = 0; number < 400; number += 2) {
    draw_windows(text, 5, number, 2, 4, inputs, targets);
    draw_windows(text, 5, number + 1, 1, 4, again, unused);
    CHECK(std::equal(again.begin(), again.end(), inputs.begin() + 4));
    for (std::size_t i = 0; i < 8; ++i) CHECK(targets[i] == inputs[i] + 1);
    ++starts[inputs[0]], ++starts[inputs[4]];
  }
  CHECK(starts.size() == 16);  // 0 to 15: each window has a target behind it
  take_windows(text, 0, 2, 2, 4, inputs, targets);
  CHECK(inputs == std::vector<Token>{0, 1, 2, 3, 15, 16, 17, 18});
}
