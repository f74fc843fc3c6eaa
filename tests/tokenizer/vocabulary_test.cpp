#include "tokenizer/vocabulary.hpp"

#include <cmath>

#include "tests/support/catch.hpp"
#include "tests/tokenizer/vocabularies.hpp"
#include "tokenizer/load.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using Strings = std::vector<std::string>;
using Ids = std::vector<std::int64_t>;
using Scores = std::vector<double>;
using Keys = std::map<std::string, MetadataValue>;

/// A small sound SPM vocabulary, as a file would describe it.
Keys sound() {
  return {
      {"tokenizer.ggml.model", std::string("llama")},
      {"tokenizer.ggml.tokens", Strings{"<unk>", "<s>", "</s>", "a", "b", "ab"}},
      {"tokenizer.ggml.scores", Scores{0, 0, 0, -1, -2, -3}},
      {"tokenizer.ggml.token_type", Ids{2, 3, 3, 1, 1, 1}},
  };
}

Keys with(Keys keys, const std::string& key, MetadataValue value) {
  keys["tokenizer.ggml." + key] = std::move(value);
  return keys;
}

Keys without(Keys keys, const std::string& key) {
  keys.erase("tokenizer.ggml." + key);
  return keys;
}

Result<std::unique_ptr<Tokenizer>> loaded(const Keys& keys) {
  Checkpoint checkpoint;
  for (const auto& [key, value] : keys) checkpoint.metadata.insert(key, value);
  return load_tokenizer(checkpoint);
}

std::unique_ptr<Tokenizer> good(const Keys& keys) {
  auto tokenizer = loaded(keys);
  if (!tokenizer) FAIL(tokenizer.error().message);
  return *std::move(tokenizer);
}

void check_bad(const Keys& keys, const std::string& key, Errc code = Errc::bad_file) {
  const auto tokenizer = loaded(keys);
  REQUIRE_FALSE(tokenizer.ok());
  INFO(tokenizer.error().message);
  CHECK(tokenizer.error().code == code);
  CHECK(tokenizer.error().message.find("tokenizer.ggml." + key) != std::string::npos);
  CHECK(tokenizer.error().message.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("load_tokenizer picks the algorithm and refuses those it lacks by name", "[tokenizer]") {
  CHECK(good(sound())->algorithm() == "spm");
  CHECK(good({{"tokenizer.ggml.model", std::string("char")}, {"tokenizer.ggml.tokens", Strings{"a", "b"}}})
            ->algorithm() == "char");
  check_bad(with(sound(), "model", std::string("t5\n")), "model is 't5\\n'", Errc::unsupported);
  check_bad(with(sound(), "model", std::string("bert")), "model is 'bert'", Errc::unsupported);
  check_bad(without(sound(), "model"), "model");
  check_bad(with(sound(), "model", std::uint64_t{1}), "model");
}

TEST_CASE("a vocabulary without keys for them has the SPM defaults", "[tokenizer]") {
  const auto tokenizer = good(sound());
  CHECK(tokenizer->bos() == 1);
  CHECK(tokenizer->eos() == 2);
  CHECK(tokenizer->adds_bos());
  CHECK_FALSE(tokenizer->adds_eos());
  CHECK(tokenizer->vocab_size() == 6);
  CHECK(tokens_of(*tokenizer, "ab", {.add_special = true}) == std::vector<Token>{1, 0, 5});
}

TEST_CASE("a vocabulary's keys override the defaults", "[tokenizer]") {
  Keys keys = with(sound(), "add_bos_token", false);
  keys = with(keys, "add_eos_token", true);
  keys = with(keys, "add_space_prefix", false);
  keys = with(keys, "eos_token_id", std::uint64_t{4});
  const auto tokenizer = good(keys);
  CHECK(tokens_of(*tokenizer, "ab", {.add_special = true}) == std::vector<Token>{5, 4});
  CHECK(tokenizer->ends_generation(4));
  CHECK(tokenizer->ends_generation(2));  // spelled </s>
}

/// A small sound BPE vocabulary.
Keys sound_bpe() {
  return {
      {"tokenizer.ggml.model", std::string("gpt2")},
      {"tokenizer.ggml.pre", std::string("gpt-2")},
      {"tokenizer.ggml.tokens", Strings{"<|endoftext|>", "a", "b", "ab", "Ġ"}},
      {"tokenizer.ggml.token_type", Ids{3, 1, 1, 1, 1}},
      {"tokenizer.ggml.merges", Strings{"a b"}},
      {"tokenizer.ggml.eos_token_id", std::uint64_t{0}},
  };
}

TEST_CASE("a BPE vocabulary needs merges and a pre-tokenizer that is known", "[tokenizer]") {
  const auto tokenizer = good(sound_bpe());
  CHECK(tokenizer->algorithm() == "bpe");
  CHECK(tokens_of(*tokenizer, "ab a", {.add_special = true}) == std::vector<Token>{3, 4, 1});
  CHECK_FALSE(tokenizer->bos().has_value());
  CHECK(tokenizer->ends_generation(0));
  check_bad(without(sound_bpe(), "merges"), "merges");
  check_bad(with(sound_bpe(), "merges", Strings{"ab"}), "merges");
  check_bad(with(sound_bpe(), "merges", Ids{1}), "merges");
  check_bad(with(sound_bpe(), "pre", std::string("quux")), "pre is 'quux'", Errc::unsupported);
  CHECK(good(without(sound_bpe(), "pre"))->algorithm() == "bpe");  // "default"
}

TEST_CASE("a BPE vocabulary adds BOS where its pre-tokenizer is known for it or the file says so",
          "[tokenizer]") {
  const auto adds = [](Keys keys) { return good(keys)->adds_bos(); };
  const Keys with_bos = with(sound_bpe(), "bos_token_id", std::uint64_t{0});
  CHECK_FALSE(adds(with_bos));
  CHECK(adds(with(with_bos, "add_bos_token", true)));
  CHECK(adds(with(with_bos, "pre", std::string("llama-bpe"))));
  CHECK_FALSE(adds(with(with(with_bos, "pre", std::string("llama-bpe")), "add_bos_token", false)));
  CHECK_FALSE(adds(with(sound_bpe(), "add_bos_token", true)));  // there is none
}

TEST_CASE("marks around code to fill in never come from plain text, and those behind it end the answer",
          "[tokenizer]") {
  Keys keys = with(sound_bpe(), "tokens", Strings{"<|fim_prefix|>", "<|file_sep|>", "<tool_call>", "<", "x"});
  keys = with(keys, "token_type", Ids{4, 4, 4, 1, 1});
  keys = with(with(without(keys, "eos_token_id"), "merges", Strings{}), "fim_pad_token_id", std::uint64_t{4});
  const auto tokenizer = good(keys);
  CHECK(tokens_of(*tokenizer, "<|fim_prefix|>") == std::vector<Token>{3, 4});  // what letters there are
  CHECK(tokens_of(*tokenizer, "<|fim_prefix|><|file_sep|>", {.parse_special = true}) ==
        std::vector<Token>{0, 1});
  CHECK(tokens_of(*tokenizer, "<tool_call>") == std::vector<Token>{2});
  CHECK_FALSE(tokenizer->ends_generation(0));
  CHECK(tokenizer->ends_generation(1));
  CHECK_FALSE(tokenizer->ends_generation(2));
  CHECK(tokenizer->ends_generation(4));
}

TEST_CASE("the added tokens of Phi-3 drop the white space behind them", "[tokenizer]") {
  Keys keys = with(sound(), "tokens", Strings{"<unk>", "<s>", "</s>", "a", "\xE2\x96\x81", "<|user|>"});
  keys = with(with(keys, "token_type", Ids{2, 3, 3, 1, 1, 3}), "add_space_prefix", false);
  const EncodeOptions parse{.parse_special = true};
  const std::string text = "<|user|>\n a <s> a</s>  <|user|> ";
  CHECK(tokens_of(*good(keys), "<|user|> a", parse) == std::vector<Token>{5, 4, 3});
  keys.emplace("general.name", std::string("Phi-3 mini"));
  CHECK(tokens_of(*good(keys), text, parse) == std::vector<Token>{5, 3, 4, 1, 4, 3, 2, 5});
  CHECK(tokens_of(*good(keys), "a  a") == std::vector<Token>{3, 4, 4, 3});
}

TEST_CASE("an id of 0xFFFFFFFF means that there is none", "[tokenizer]") {
  constexpr std::uint64_t none = 0xFFFFFFFF;
  const auto tokenizer = good(with(with(sound(), "bos_token_id", none), "eos_token_id", none));
  CHECK_FALSE(tokenizer->bos().has_value());
  CHECK_FALSE(tokenizer->eos().has_value());
  CHECK_FALSE(tokenizer->adds_bos());
  CHECK_FALSE(good(with(with(sound(), "bos_token_id", none), "add_bos_token", true))->adds_bos());
}

TEST_CASE("default ids hold only for tokens of the right kind", "[tokenizer]") {
  const auto tokenizer = good(with(sound(), "token_type", Ids{1, 1, 1, 1, 1, 1}));
  CHECK_FALSE(tokenizer->bos().has_value());
  CHECK_FALSE(tokenizer->eos().has_value());
  CHECK_FALSE(tokenizer->encode("?").ok());
}

TEST_CASE("malformed vocabularies are refused by the key that is wrong", "[tokenizer]") {
  check_bad(without(sound(), "tokens"), "tokens");
  check_bad(with(sound(), "tokens", Strings{}), "tokens");
  check_bad(with(sound(), "tokens", Ids{1, 2}), "tokens");
  check_bad(without(sound(), "scores"), "scores");
  check_bad(with(sound(), "scores", Scores{1, 2}), "scores");
  check_bad(with(sound(), "scores", Scores{0, 0, 0, std::nan(""), 0, 0}), "scores");
  check_bad(with(sound(), "scores", Strings(6)), "scores");
  check_bad(with(sound(), "token_type", Ids{1}), "token_type");
  check_bad(with(sound(), "token_type", Ids{2, 3, 3, 1, 7, 1}), "token_type");
  check_bad(with(sound(), "token_type", Ids{2, 3, 3, 1, -1, 1}), "token_type");
  check_bad(with(sound(), "token_type", Ids{2, 3, 3, 1, 6, 1}), "tokens");  // a byte spelled "b"
  for (const char* key : {"bos", "eos", "unknown", "eot", "eom"}) {
    const std::string id_key = std::string(key) + "_token_id";
    check_bad(with(sound(), id_key, std::int64_t{-1}), id_key);
    check_bad(with(sound(), id_key, std::string("1")), id_key);
  }
  check_bad(with(sound(), "add_bos_token", std::string("yes")), "add_bos_token");
  check_bad(with(sound(), "add_space_prefix", 1.5), "add_space_prefix");
}

TEST_CASE("an id outside the vocabulary counts as not stated", "[tokenizer]") {
  for (const std::uint64_t stray : {std::uint64_t{6}, std::uint64_t{0x1'0000'0000}}) {
    Keys keys = sound();
    for (const char* key : {"bos", "eos", "unknown", "eot", "eom", "fim_pad"}) {
      keys = with(keys, std::string(key) + "_token_id", stray);
    }
    const auto tokenizer = good(keys);
    CHECK(tokenizer->bos() == 1);
    CHECK(tokenizer->eos() == 2);
    CHECK(tokens_of(*tokenizer, "?", {.add_special = true}) == std::vector<Token>{1, 0, 0});
    CHECK_FALSE(good(with(sound_bpe(), "eos_token_id", stray))->eos().has_value());
  }
}

TEST_CASE("scores and types beyond the last token are left aside", "[tokenizer]") {
  const auto tokenizer = good(with(with(sound(), "scores", Scores{0, 0, 0, -1, -2, -3, std::nan("")}),
                                   "token_type", Ids{2, 3, 3, 1, 1, 1, 9}));
  CHECK(tokens_of(*tokenizer, "ab") == tokens_of(*good(sound()), "ab"));
}

TEST_CASE("</s> is HTML where the file has it as such, beside another end", "[tokenizer]") {
  Keys keys = with(sound(), "tokens", Strings{"<unk>", "<bos>", "<eos>", "a", "</s>", "ab"});
  keys = with(with(keys, "token_type", Ids{2, 3, 3, 1, 4, 1}), "add_space_prefix", false);
  const auto tokenizer = good(keys);
  CHECK(tokens_of(*tokenizer, "a</s>") == std::vector<Token>{3, 4});
  CHECK(tokenizer->piece(4) == "</s>");
  CHECK_FALSE(tokenizer->ends_generation(4));
  CHECK(tokenizer->ends_generation(2));
  CHECK(good(with(keys, "token_type", Ids{2, 3, 3, 1, 3, 1}))->ends_generation(4));
}

TEST_CASE("odd vocabularies load and stay harmless", "[tokenizer]") {
  // Empty and equal tokens, infinite scores.
  Keys keys = with(sound(), "tokens", Strings{"", "", "a", "a", "aa", "aa"});
  keys = with(keys, "scores", Scores{INFINITY, -INFINITY, 1, 2, -INFINITY, INFINITY});
  keys = with(keys, "token_type", Ids{4, 3, 1, 1, 1, 0});
  keys = with(keys, "add_space_prefix", false);
  const auto tokenizer = good(keys);
  CHECK(tokens_of(*tokenizer, "aaa", {.parse_special = true}) == std::vector<Token>{4, 2});
  CHECK_FALSE(tokenizer->encode("b").ok());
  CHECK(tokenizer->decode(std::vector<Token>{0, 1, 5, 3}) == "aaa");
}

TEST_CASE("a vocabulary without types is read by its spellings", "[tokenizer]") {
  Keys keys = without(sound(), "token_type");
  keys = with(keys, "tokens", Strings{"<unk>", "<s>", "</s>", "<0x41>", "\xE2\x96\x81", "<|im_end|>"});
  const auto tokenizer = good(keys);
  CHECK(tokens_of(*tokenizer, "A?", {.add_special = true}) == std::vector<Token>{1, 4, 3, 0});
  CHECK(tokenizer->decode(std::vector<Token>{1, 4, 3}) == "A");
  CHECK(tokenizer->ends_generation(5));
}

TEST_CASE("a token spelled like an end of turn never comes from plain text", "[tokenizer]") {
  Keys keys = with(sound(), "tokens", Strings{"<unk>", "<s>", "</s>", "a", "\xE2\x96\x81", "<|im_end|>"});
  const auto tokenizer = good(with(keys, "token_type", Ids{2, 3, 3, 1, 1, 4}));
  for (Token token : tokens_of(*tokenizer, "a<|im_end|>")) CHECK(token != 5);
  CHECK(tokens_of(*tokenizer, "a<|im_end|>", {.parse_special = true}) == std::vector<Token>{4, 3, 5});
}
