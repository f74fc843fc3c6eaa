#include "tokenizer/pre_tokenizer.hpp"

#include <algorithm>
#include <string>

#include "base/utf8.hpp"

namespace troupe {
namespace {

// Names, rules and flags are llama.cpp's, so that a file has the same ids here as there. In the order of the
// error message that lists them; several names for the same thing where models were converted under several.
constexpr PreTokenizer known[] = {
    {.name = "default", .rules = {punctuation_word, gpt2_word, numbers_word, three_digits_word}},
    {.name = "gpt-2", .rules = {gpt2_word}},
    {.name = "phi-2", .rules = {gpt2_word}},
    {.name = "mpt", .rules = {gpt2_word}},
    {.name = "olmo", .rules = {gpt2_word}},
    {.name = "jais", .rules = {gpt2_word}},
    {.name = "exaone4", .rules = {gpt2_word}},
    {.name = "mellum", .rules = {gpt2_word}},
    {.name = "gigachat", .rules = {gpt2_word}},
    {.name = "a.x-4.0", .rules = {gpt2_word}},
    {.name = "trillion", .rules = {gpt2_word}},
    {.name = "granite-docling", .rules = {gpt2_word}},
    {.name = "llama-bpe", .rules = {llama3_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "llama3", .rules = {llama3_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "llama-v3", .rules = {llama3_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "falcon3", .rules = {llama3_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "falcon-h1", .rules = {llama3_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "pixtral", .rules = {llama3_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "midm-2.0", .rules = {llama3_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "lfm2", .rules = {llama3_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "dbrx", .rules = {llama3_word}},
    {.name = "smaug-bpe", .rules = {llama3_word}},
    {.name = "glm4", .rules = {llama3_word}},
    {.name = "chatglm-bpe", .rules = {llama3_word}},
    {.name = "qwen2", .rules = {qwen2_word}},
    {.name = "deepseek-r1-qwen", .rules = {qwen2_word}},
    {.name = "megrez", .rules = {qwen2_word}},
    {.name = "stablelm2", .rules = {qwen2_word}},
    {.name = "kormo", .rules = {qwen2_word}},
    {.name = "hunyuan", .rules = {qwen2_word}},
    {.name = "solar-open", .rules = {qwen2_word}},
    {.name = "grok-2", .rules = {qwen2_word}},
    {.name = "qwen35", .rules = {qwen35_word}},
    {.name = "seed-coder", .rules = {seed_coder_word}},
    {.name = "smollm", .rules = {one_number_word, gpt2_word}},
    {.name = "starcoder", .rules = {one_number_word, gpt2_word}},
    {.name = "refact", .rules = {one_number_word, gpt2_word}},
    {.name = "command-r", .rules = {one_number_word, gpt2_word}},
    {.name = "codeshell", .rules = {one_number_word, gpt2_word}},
    {.name = "exaone", .rules = {one_number_word, gpt2_word}},
    {.name = "minerva-7b", .rules = {one_number_word, gpt2_word}},
    {.name = "viking", .rules = {viking_word, one_number_word}},
    {.name = "falcon", .rules = {falcon_punctuation_word, gpt2_word, three_digits_word}},
    {.name = "deepseek-llm",
     .rules = {newline_word, deepseek_letters_word, deepseek_punctuation_word, last_space_word,
               east_asian_word, numbers_word}},
    {.name = "deepseek-coder",
     .rules = {newline_word, spaced_letters_word, spaced_punctuation_word, east_asian_word, one_number_word}},
    {.name = "deepseek-v3", .rules = {three_numbers_word, han_or_kana_word, deepseek3_word}},
    {.name = "hunyuan-dense", .rules = {three_numbers_word, han_or_kana_word, deepseek3_word}},
    {.name = "joyai-llm", .rules = {three_numbers_word, han_or_kana_word, deepseek3_word}},
    {.name = "tekken", .rules = {tekken_word}, .ignores_merges = true, .adds_bos = true},
    {.name = "gpt-4o", .rules = {gpt4o_word}},
    {.name = "llama4", .rules = {gpt4o_word}},
    {.name = "kanana2", .rules = {gpt4o_word}},
};

}  // namespace

Result<const PreTokenizer*> find_pre_tokenizer(std::string_view name) {
  if (name.empty()) name = "default";
  std::string names;
  for (const PreTokenizer& pre : known) {
    if (pre.name == name) return &pre;
    names += (names.empty() ? "" : ", ") + std::string(pre.name);
  }
  return Error{Errc::unsupported, "tokenizer.ggml.pre is " + in_quotes(name) + "; this build knows " + names};
}

}  // namespace troupe
