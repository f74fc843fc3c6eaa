// The vocabularies that published files of each architecture come with.

#include <string>
#include <vector>

#include "model/architecture.hpp"
#include "support/catch.hpp"
#include "tokenizer/pre_tokenizer.hpp"

using namespace troupe;

namespace {

struct Published {
  std::string_view architecture;
  std::vector<std::string_view> pre_tokenizers;  ///< none: SentencePiece
};

/// As llama.cpp's converter names them; in the order of the architectures.
const Published published[] = {
    {"llama",
     {"llama-bpe", "smollm", "deepseek-llm", "deepseek-coder", "deepseek-r1-qwen", "seed-coder", "tekken",
      "pixtral", "falcon3", "minerva-7b", "viking", "mellum", "trillion", "midm-2.0", "smaug-bpe"}},
    {"mistral3", {"tekken"}},
    {"internlm2", {}},
    {"xverse", {}},
    {"ernie4_5", {}},
    {"granite", {"refact", "granite-docling"}},
    {"minicpm", {}},
    {"smollm3", {"smaug-bpe"}},
    {"arcee", {"llama-bpe"}},
    {"orion", {}},
    {"glm4", {"glm4", "chatglm-bpe"}},
    {"qwen2", {"qwen2", "deepseek-r1-qwen", "megrez", "a.x-4.0"}},
    {"qwen2vl", {"qwen2"}},
    {"qwen3", {"qwen2", "kormo"}},
    {"qwen3vl", {"qwen2"}},
    {"seed_oss", {"seed-coder"}},
    {"exaone", {"exaone"}},
    {"exaone4", {"exaone4"}},
    {"hunyuan-dense", {"hunyuan-dense"}},
    {"olmo", {"olmo"}},
    {"olmo2", {"dbrx"}},
    {"gemma", {}},
    {"gemma2", {}},
    {"gemma3", {}},
    {"phi3", {"dbrx", "gpt-4o"}},
    {"phi2", {"phi-2"}},
    {"gpt2", {"gpt-2"}},
    {"gptneox", {"olmo", "stablelm2"}},
    {"falcon", {"falcon"}},
    {"stablelm", {"stablelm2", "olmo"}},
    {"starcoder2", {"starcoder"}},
    {"nemotron", {}},
    {"command-r", {"command-r"}},
    {"cohere2", {"command-r"}},
};

}  // namespace

TEST_CASE("every architecture that runs has a pre-tokenizer that its published files name", "[model]") {
  std::string names;
  for (const Published& files : published) {
    names.append(names.empty() ? "" : ", ").append(files.architecture);
    for (const std::string_view name : files.pre_tokenizers) {
      INFO(files.architecture << ": " << name);
      CHECK(find_pre_tokenizer(name).ok());
    }
  }
  CHECK(names == architecture_names());
}
