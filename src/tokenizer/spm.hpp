#pragma once
// SentencePiece's "BPE" as llama.cpp runs it: characters merge into pieces, best score first.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/vocabulary_tokenizer.hpp"

namespace troupe {

/// `tokenizer.ggml.model` = "llama". Spaces become U+2581; one more is put in front of the text, and behind
/// each token found by its spelling, where the vocabulary adds a space prefix. The text then falls into
/// characters, and of all neighbours that together are a piece, the pair whose piece has the best score
/// merges first (the leftmost of equals), until none is left. What is no piece becomes bytes, or the
/// unknown token. The ids are llama.cpp's for every valid UTF-8 text; where it lets a stray first byte of a
/// character swallow the bytes behind it, that byte stands alone here, so that any bytes come back from
/// decode(). Only U+2581 in the text itself does not: it decodes as a space.
class SpmTokenizer final : public VocabularyTokenizer {
 public:
  static VocabularyDefaults defaults();

  /// `vocabulary` has a score for every token.
  explicit SpmTokenizer(Vocabulary vocabulary);

  using Tokenizer::decode;
  using Tokenizer::encode;
  Result<std::vector<Token>> encode(std::string_view text, EncodeOptions options) const override;
  std::string decode(std::span<const Token> tokens, bool render_special) const override;
  std::string_view algorithm() const noexcept override { return "spm"; }

 private:
  class Merger;

  struct Entry {
    Token token = 0;
    std::uint32_t rank = 0;  ///< of its score among all scores; 0 is the best
  };

  SpmTokenizer(std::vector<std::string> pieces, Vocabulary&& vocabulary);
  void rank_mergeable_pieces();
  void find_byte_tokens();
  Status encode_raw(std::string_view text, bool space_before, Merger& merger) const;

  std::unordered_map<std::string_view, Entry> mergeable_;  // views of the vocabulary's spellings
  std::size_t mergeable_bytes_max_ = 0;
  /// Whether U+2581 only ever leads a piece. Then no merge crosses from another character to it, and
  /// words merge apart from each other: the same result with small queues.
  bool space_only_leads_ = true;
  std::array<Token, 256> byte_tokens_;  // -1: none
};

}  // namespace troupe
