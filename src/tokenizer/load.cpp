#include "tokenizer/load.hpp"

#include <string_view>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "tokenizer/bpe.hpp"
#include "tokenizer/char.hpp"
#include "tokenizer/none.hpp"
#include "tokenizer/spm.hpp"

namespace troupe {
namespace {

constexpr std::string_view model_key = "tokenizer.ggml.model";

Result<std::unique_ptr<Tokenizer>> load_spm(const Metadata& metadata) {
  TROUPE_TRY(auto vocabulary, read_vocabulary(metadata, SpmTokenizer::defaults()));
  return std::unique_ptr<Tokenizer>(std::make_unique<SpmTokenizer>(std::move(vocabulary)));
}

Result<std::unique_ptr<Tokenizer>> load_char(const Metadata& metadata) {
  TROUPE_TRY(auto vocabulary, read_vocabulary(metadata, VocabularyDefaults{}));
  return CharTokenizer::create(std::move(vocabulary));
}

Result<std::unique_ptr<Tokenizer>> load_bpe(const Metadata& metadata) {
  TROUPE_TRY(const auto name, metadata.get_string("tokenizer.ggml.pre"));
  TROUPE_TRY(const auto* pre, find_pre_tokenizer(name.value_or("")));
  TROUPE_TRY(auto vocabulary, read_vocabulary(metadata, BpeTokenizer::defaults(*pre)));
  TROUPE_TRY(const auto* merges, metadata.get_strings("tokenizer.ggml.merges"));
  if (merges == nullptr) {
    return Error{Errc::bad_file, "tokenizer.ggml.merges is missing; this kind of vocabulary merges by rank"};
  }
  return BpeTokenizer::create(std::move(vocabulary), *merges, *pre);
}

struct Algorithm {
  std::string_view model;
  Result<std::unique_ptr<Tokenizer>> (*load)(const Metadata&);
};

constexpr Algorithm algorithms[] = {{"llama", load_spm}, {"gpt2", load_bpe}, {"char", load_char}};

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_tokenizer(const Checkpoint& checkpoint) {
  TROUPE_TRY(const std::string model, checkpoint.metadata.need_string(model_key));
  if (model == "none" || model == "no_vocab") return NoTokenizer::create(checkpoint);
  std::string known;
  for (const Algorithm& algorithm : algorithms) {
    if (algorithm.model == model) return algorithm.load(checkpoint.metadata);
    known += (known.empty() ? "'" : ", '") + std::string(algorithm.model) + "'";
  }
  return Error{Errc::unsupported,
               std::string(model_key) + " is " + in_quotes(model) + "; this build knows " + known};
}

}  // namespace troupe
