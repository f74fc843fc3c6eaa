#pragma once
// Byte-level BPE, as GPT-2 began it.

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe_merges.hpp"
#include "tokenizer/piece_table.hpp"
#include "tokenizer/pre_tokenizer.hpp"
#include "tokenizer/vocabulary_tokenizer.hpp"

namespace troupe {

/// `tokenizer.ggml.model` = "gpt2". The pre-tokenizer cuts the text into words; a word falls into bytes,
/// and of all neighbours that are in the list of merges the pair that stands first in it merges first (the
/// leftmost of equals), until none is left. The ids are llama.cpp's for every valid UTF-8 text, except that
/// control tokens never come out of merging; bytes that are no UTF-8 stay what they are, so that any bytes
/// that the vocabulary has come back from decode(). Those that it lacks are left out, as there.
class BpeTokenizer final : public VocabularyTokenizer {
 public:
  static VocabularyDefaults defaults(const PreTokenizer& pre);

  /// `merges`: "left right" each, spelled in the byte alphabet, best first. `pre` is static.
  /// Errors: bad_file, naming the merge that is none.
  static Result<std::unique_ptr<Tokenizer>> create(Vocabulary vocabulary,
                                                   const std::vector<std::string>& merges,
                                                   const PreTokenizer& pre);

  using Tokenizer::decode;
  using Tokenizer::encode;
  Result<std::vector<Token>> encode(std::string_view text, EncodeOptions options) const override;
  std::string decode(std::span<const Token> tokens, bool render_special) const override;
  std::string_view algorithm() const noexcept override { return "bpe"; }

 private:
  class Encoder;

  BpeTokenizer(Vocabulary vocabulary, std::vector<std::string> pieces, std::size_t merges,
               const PreTokenizer& pre);
  Status add_merges(const std::vector<std::string>& merges);
  bool is_token(Symbol symbol) const noexcept { return symbol < vocab_size(); }
  Symbol symbol_of(char byte) const noexcept { return byte_symbols_[static_cast<unsigned char>(byte)]; }

  const PreTokenizer& pre_;
  PieceTable symbols_;  // what merging can make: the bytes, and what the merges join
  MergeTable merges_;
  std::array<Symbol, 256> byte_symbols_;
  /// Of symbols behind the last token: the bytes that they stand for.
  std::vector<std::unique_ptr<const std::string>> unnamed_;

  /// Whether a word that is a token merges into just that token: found out at its first use, which any
  /// thread may do, for all come to the same answer. One per token.
  enum class Whole : std::uint8_t { unknown, yes, no };
  mutable std::vector<std::atomic<Whole>> whole_;
};

}  // namespace troupe
