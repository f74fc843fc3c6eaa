// Against what other implementations give on real vocabularies; the data lies beside the checkout.

#include <boost/json.hpp>

#include "formats/open.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/shared_data.hpp"
#include "tests/tokenizer/real_vocabularies.hpp"
#include "tests/tokenizer/vocabularies.hpp"
#include "tokenizer/detokenizer.hpp"
#include "tokenizer/load.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

std::unique_ptr<Tokenizer> tokenizer_of(const std::filesystem::path& path) {
  auto checkpoint = open_checkpoint(path);
  if (!checkpoint) FAIL(checkpoint.error().message);
  auto tokenizer = load_tokenizer(*checkpoint);
  if (!tokenizer) FAIL(tokenizer.error().message);
  return *std::move(tokenizer);
}

const char* const story_model = "models/stories260K/stories260Ktok512.gguf";
const char* const llama_vocabulary = "vocab/ggml-vocab-llama-spm.gguf";
const char* const gpt2_vocabulary = "vocab/ggml-vocab-gpt-2.gguf";
const char* const deepseek_vocabulary = "vocab/ggml-vocab-deepseek-llm.gguf";

}  // namespace

TEST_CASE("the vocabularies give llama.cpp's ids for their 46 texts", "[tokenizer]") {
  const auto path = shared_data(GENERATE(llama_vocabulary, gpt2_vocabulary, deepseek_vocabulary));
  if (!path) return;
  check_expected_ids(*tokenizer_of(*path), path->string());
}

TEST_CASE("stories260K gives the prompt ids of the reference run", "[tokenizer]") {
  const auto path = shared_data(story_model);
  if (!path) return;
  const auto tokenizer = tokenizer_of(*path);
  const auto json = boost::json::parse(content(path->parent_path() / "reference_greedy.json"));
  const auto& results = json.at("results").as_array();
  CHECK(results.size() > 0);
  for (const auto& result : results) {
    const std::string prompt(result.at("prompt").as_string());
    const auto ids = boost::json::value_to<std::vector<Token>>(result.at("prompt_tokens"));
    INFO(prompt);
    CHECK(tokens_of(*tokenizer, prompt, {.add_special = true}) == ids);
  }
}

TEST_CASE("stories260K as a llama2.c checkpoint has the same tokenizer as its GGUF file", "[tokenizer]") {
  const auto gguf = shared_data(story_model);
  const auto bin = shared_data("models/stories260K/stories260K.bin");
  if (!gguf || !bin) return;
  OpenCheckpointOptions options;
  options.tokenizer = bin->parent_path() / "tok512.bin";
  auto checkpoint = open_checkpoint(*bin, options);
  if (!checkpoint) FAIL(checkpoint.error().message);
  const auto loaded = load_tokenizer(*checkpoint);
  if (!loaded) FAIL(loaded.error().message);
  const Tokenizer& ours = **loaded;
  const auto theirs = tokenizer_of(*gguf);
  CHECK(ours.vocab_size() == theirs->vocab_size());
  for (Token token = 0; token < 512; ++token) {
    INFO(token);
    CHECK(ours.piece(token) == theirs->piece(token));
    CHECK(ours.is_control(token) == theirs->is_control(token));
    CHECK(ours.ends_generation(token) == theirs->ends_generation(token));
  }
  std::mt19937 random(2);
  for (int round = 0; round < 100; ++round) {
    const std::string text = random_characters(random, random() % 60);
    INFO(printable(text, 1000));
    CHECK(tokens_of(ours, text, {.add_special = true}) == tokens_of(*theirs, text, {.add_special = true}));
  }
}

TEST_CASE("stories260K gives the token counts of llama.cpp's server tests", "[tokenizer]") {
  const auto path = shared_data(story_model);
  if (!path) return;
  const auto tokenizer = tokenizer_of(*path);
  const auto json = boost::json::parse(content(path->parent_path() / "llama.cpp_expectations.json"));
  const auto check = [&](const std::string& prompt, const boost::json::value& expected) {
    INFO(prompt);
    const EncodeOptions options{.add_special = true, .parse_special = true};
    CHECK(tokens_of(*tokenizer, prompt, options).size() ==
          expected.at("prompt_tokens").to_number<std::size_t>());
  };
  for (const auto& entry : json.at("completion").as_array()) {
    check(std::string(entry.at("prompt").as_string()), entry);
  }
  for (const auto& entry : json.at("chat_chatml").as_array()) {
    check("<|im_start|>system\n" + std::string(entry.at("system").as_string()) +
              "<|im_end|>\n<|im_start|>user\n" + std::string(entry.at("user").as_string()) +
              "<|im_end|>\n<|im_start|>assistant\n",
          entry);
  }
}

TEST_CASE("real vocabularies give any text and any bytes back", "[tokenizer]") {
  for (const char* name : {llama_vocabulary, story_model, gpt2_vocabulary, deepseek_vocabulary}) {
    const auto path = shared_data(name);
    if (!path) continue;
    const auto tokenizer = tokenizer_of(*path);
    std::mt19937 random(5);
    for (int round = 0; round < 400; ++round) {
      // DeepSeek's has no tokens for the bytes that no valid text contains.
      const bool valid = round % 2 == 0 || name == deepseek_vocabulary;
      const std::string text =
          valid ? random_characters(random, random() % 200) : random_bytes(random, random() % 200);
      if (text.find("\xE2\x96\x81") != std::string::npos) continue;  // U+2581 decodes to a space
      const EncodeOptions options{.add_special = random() % 2 == 0};
      const auto tokens = tokens_of(*tokenizer, text, options);
      INFO(name << ": " << printable(text, 1000));
      CHECK(tokenizer->decode(tokens) == text);

      Detokenizer detokenizer(*tokenizer);
      std::string streamed;
      for (Token token : tokens) streamed += detokenizer.push(token);
      streamed += detokenizer.finish();
      const bool space_in_front = tokenizer->algorithm() == "spm" && !text.empty();
      CHECK(streamed == replace_invalid_utf8((space_in_front ? " " : "") + text));
    }
  }
}

TEST_CASE("every token of a real vocabulary has its bytes in the middle of a text", "[tokenizer]") {
  const auto path = shared_data(llama_vocabulary);
  if (!path) return;
  const auto tokenizer = tokenizer_of(*path);
  CHECK(tokenizer->vocab_size() == 32000);
  const Token first = tokens_of(*tokenizer, "a").front();
  for (Token token = 0; token < 32000; ++token) {
    const std::string whole = tokenizer->decode(std::vector<Token>{first, token});
    CHECK(whole == std::string(tokenizer->piece(first).substr(1)) + std::string(tokenizer->piece(token)));
    CHECK(tokenizer->piece(token).empty() == tokenizer->is_control(token));
  }
}

TEST_CASE("two megabytes of stories come back from their tokens", "[tokenizer]") {
  const auto path = shared_data(llama_vocabulary);
  const auto corpus = shared_data("corpora/tinystories_sample_2MiB.txt");
  if (!path || !corpus) return;
  const auto tokenizer = tokenizer_of(*path);
  const std::string text = content(*corpus);
  CHECK(tokenizer->decode(tokens_of(*tokenizer, text)) == text);
}
