#pragma once
// One token per Unicode character.

#include <unordered_map>

#include "tokenizer/vocabulary_tokenizer.hpp"

namespace troupe {

/// `tokenizer.ggml.model` = "char", Troupe's own name. Every token but control, unknown and user-defined ones
/// is one Unicode character. A character that the vocabulary lacks is an error, even where there is an
/// unknown token: text never disappears silently.
class CharTokenizer final : public VocabularyTokenizer {
 public:
  /// Errors: bad_file, naming the token that is no single character.
  static Result<std::unique_ptr<Tokenizer>> create(Vocabulary vocabulary);

  using Tokenizer::decode;
  using Tokenizer::encode;
  Result<std::vector<Token>> encode(std::string_view text, EncodeOptions options) const override;
  std::string decode(std::span<const Token> tokens, bool render_special) const override;
  std::string_view algorithm() const noexcept override { return "char"; }

 private:
  explicit CharTokenizer(Vocabulary vocabulary);

  std::unordered_map<char32_t, Token> characters_;
};

}  // namespace troupe
