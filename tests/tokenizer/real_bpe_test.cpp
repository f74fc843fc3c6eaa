// The vocabularies of Llama 3 and Qwen 2, which lie beside the checkout in other formats than GGUF, against
// llama.cpp's ids.

#include <boost/json.hpp>
#include <map>
#include <sstream>

#include "base/try.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/shared_data.hpp"
#include "tests/tokenizer/real_vocabularies.hpp"
#include "tests/tokenizer/vocabularies.hpp"
#include "tokenizer/byte_alphabet.hpp"
#include "tokenizer/load.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using Strings = std::vector<std::string>;

std::unique_ptr<Tokenizer> loaded(const std::string& pre, Strings tokens, const Strings& control,
                                  Strings merges) {
  std::vector<std::int64_t> types(tokens.size(), 1);
  for (const std::string& spelling : control) {
    tokens.push_back(spelling);
    types.push_back(3);
  }
  const auto bos = static_cast<std::uint64_t>(tokens.size() - control.size());
  Checkpoint checkpoint;
  checkpoint.metadata.insert("tokenizer.ggml.model", std::string("gpt2"));
  checkpoint.metadata.insert("tokenizer.ggml.pre", pre);
  checkpoint.metadata.insert("tokenizer.ggml.tokens", std::move(tokens));
  checkpoint.metadata.insert("tokenizer.ggml.token_type", std::move(types));
  checkpoint.metadata.insert("tokenizer.ggml.merges", std::move(merges));
  checkpoint.metadata.insert("tokenizer.ggml.bos_token_id", bos);
  checkpoint.metadata.insert("tokenizer.ggml.eos_token_id", bos + 1);
  auto tokenizer = load_tokenizer(checkpoint);
  if (!tokenizer) FAIL(tokenizer.error().message);
  return *std::move(tokenizer);
}

std::unique_ptr<Tokenizer> llama3() {
  const auto folder = shared_data("vocab/llama3.2");
  if (!folder) return nullptr;
  const auto encoder = boost::json::parse(content(*folder / "encoder.json"));
  Strings tokens(encoder.as_object().size());
  for (const auto& [spelling, id] : encoder.as_object()) {
    tokens.at(id.to_number<std::size_t>()) = std::string(spelling);
  }
  Strings merges;
  std::istringstream lines(content(*folder / "vocab.bpe"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#version") && !line.empty()) merges.push_back(line);
  }
  return loaded("llama-bpe", std::move(tokens), {"<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"},
                std::move(merges));
}

std::string base64_decoded(std::string_view text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string bytes;
  unsigned value = 0;
  int bits = 0;
  for (const char c : text) {
    if (c == '=') break;
    value = value << 6 | static_cast<unsigned>(digits.find(c));
    if ((bits += 6) >= 8) bytes += static_cast<char>(value >> (bits -= 8));
  }
  return bytes;
}

std::string spelled(std::string_view bytes) {
  static const Strings characters = [] {
    Strings all(256);
    for (char32_t code = 0; code < 256 + 68; ++code) {
      std::string byte;
      if (append_spelled_bytes(byte, utf8_encode(code))) {
        all[static_cast<unsigned char>(byte[0])] = utf8_encode(code);
      }
    }
    return all;
  }();
  std::string spelling;
  for (const char byte : bytes) spelling += characters[static_cast<unsigned char>(byte)];
  return spelling;
}

/// The ranks of a tiktoken file as merges: each token is joined from the two parts that its bytes merge into
/// by what ranks below it.
std::unique_ptr<Tokenizer> qwen2() {
  const auto path = shared_data("vocab/qwen/qwen.tiktoken");
  if (!path) return nullptr;
  Strings tokens;
  std::unordered_map<std::string, std::size_t> ranks;
  std::istringstream lines(content(*path));
  std::string base64;
  for (std::size_t rank; lines >> base64 >> rank;) {
    REQUIRE(rank == tokens.size());
    tokens.push_back(base64_decoded(base64));
    ranks.emplace(tokens.back(), rank);
  }
  Strings merges;
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) {
    Strings parts;
    for (const char byte : tokens[rank]) parts.emplace_back(1, byte);
    while (parts.size() > 2) {
      std::size_t best = parts.size();
      std::size_t best_rank = rank;
      for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        const auto found = ranks.find(parts[i] + parts[i + 1]);
        if (found == ranks.end() || found->second >= best_rank) continue;
        best = i;
        best_rank = found->second;
      }
      REQUIRE(best < parts.size());
      parts[best] += parts[best + 1];
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
    if (parts.size() == 2) merges.push_back(spelled(parts[0]) + ' ' + spelled(parts[1]));
  }
  for (std::string& token : tokens) token = spelled(token);
  return loaded("qwen2", std::move(tokens), {"<|endoftext|>", "<|im_start|>", "<|im_end|>"},
                std::move(merges));
}

void check_texts(const Tokenizer& tokenizer, const std::string& name) {
  const auto inp = shared_data("vocab/" + name + ".gguf.inp");
  if (inp) check_expected_ids(tokenizer, inp->string().substr(0, inp->string().size() - 4));
  std::mt19937 random(8);
  for (int round = 0; round < 300; ++round) {
    const std::string text =
        round % 2 == 0 ? random_characters(random, random() % 200) : random_bytes(random, random() % 200);
    INFO(printable(text, 1000));
    CHECK(tokenizer.decode(tokens_of(tokenizer, text)) == text);
  }
}

}  // namespace

TEST_CASE("the Llama 3 vocabulary gives llama.cpp's ids for its 46 texts", "[tokenizer]") {
  const auto tokenizer = llama3();
  if (tokenizer == nullptr) return;
  check_texts(*tokenizer, "ggml-vocab-llama-bpe");
  // Llama 3 files have no key for BOS; that it goes in front is known of the pre-tokenizer.
  CHECK(tokens_of(*tokenizer, "a", {.add_special = true}) == std::vector<Token>{128000, 64});
  CHECK(tokenizer->ends_generation(128002));
}

TEST_CASE("the Qwen 2 vocabulary gives llama.cpp's ids for its 46 texts", "[tokenizer]") {
  const auto tokenizer = qwen2();
  if (tokenizer == nullptr) return;
  check_texts(*tokenizer, "ggml-vocab-qwen2");
  CHECK(tokens_of(*tokenizer, "a", {.add_special = true}) == std::vector<Token>{64});
  CHECK(tokens_of(*tokenizer, "<|im_end|>").size() > 1);
  CHECK(tokens_of(*tokenizer, "<|im_end|>", {.parse_special = true}) == std::vector<Token>{151645});
}
