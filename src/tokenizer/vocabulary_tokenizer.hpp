#pragma once
// What every algorithm shares: the questions that its vocabulary alone answers.

#include "tokenizer/spelled_tokens.hpp"
#include "tokenizer/vocabulary.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// A Tokenizer without its algorithm: encode(), decode() and algorithm() are left to the derived class.
/// Immutable, so safe from any number of threads.
class VocabularyTokenizer : public Tokenizer {
 public:
  std::string_view piece(Token token) const noexcept final;
  std::string_view spelling(Token token) const noexcept final;
  std::size_t vocab_size() const noexcept final { return vocabulary_.size(); }
  std::optional<Token> bos() const noexcept final { return vocabulary_.bos; }
  std::optional<Token> eos() const noexcept final { return vocabulary_.eos; }
  bool adds_bos() const noexcept final { return vocabulary_.adds_bos; }
  bool adds_eos() const noexcept final { return vocabulary_.adds_eos; }
  bool is_control(Token token) const noexcept final;
  bool ends_generation(Token token) const noexcept final;

  using Tokenizer::decode;
  using Tokenizer::encode;

 protected:
  /// `pieces`: the bytes of each token in the middle of a text; empty means: as spelled, and nothing for
  /// control tokens.
  explicit VocabularyTokenizer(Vocabulary vocabulary, std::vector<std::string> pieces = {});

  const Vocabulary& vocabulary() const noexcept { return vocabulary_; }
  const SpelledTokens& spelled() const noexcept { return spelled_; }

 private:
  Vocabulary vocabulary_;
  std::vector<std::string> pieces_;  // one per token, or none
  SpelledTokens spelled_;            // refers to vocabulary_
};

}  // namespace troupe
