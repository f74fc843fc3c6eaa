#pragma once
// A vocabulary as a file gives it, checked, before any algorithm makes use of it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/checkpoint.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// The numbering of `tokenizer.ggml.token_type`.
enum class TokenType : std::uint8_t {
  normal = 1,
  unknown = 2,       ///< stands for a character that the vocabulary lacks; has no text
  control = 3,       ///< BOS, EOS, end of turn, …; has no text, found in text only with parse_special
  user_defined = 4,  ///< found in any text before the algorithm runs
  unused = 5,        ///< a piece like any other
  byte = 6,          ///< one byte, spelled <0x00> .. <0xFF>
};

/// Every vector with one entry per token; all ids inside the vocabulary; at least one token.
struct Vocabulary {
  std::vector<std::string> spellings;  ///< may hold empty and equal ones: a file can
  std::vector<double> scores;          ///< empty where the algorithm wants none; never NaN
  std::vector<TokenType> types;
  std::optional<Token> bos, eos, unknown, end_of_turn, end_of_message;
  std::vector<Token> infill_ends;  ///< what ends the answer to a request to fill in code
  /// Per token, whether white space behind its spelling is dropped, where it is found by that; empty: none.
  std::vector<bool> drops_space_behind;
  bool adds_bos = false;  ///< only with bos
  bool adds_eos = false;  ///< only with eos
  bool adds_space_prefix = false;

  std::size_t size() const noexcept { return spellings.size(); }
  bool holds(Token token) const noexcept {
    return token >= 0 && static_cast<std::size_t>(token) < spellings.size();
  }
  TokenType type(Token token) const { return types[static_cast<std::size_t>(token)]; }
  const std::string& spelling(Token token) const { return spellings[static_cast<std::size_t>(token)]; }
};

/// What a tokenizer family assumes where the file has no key for it.
struct VocabularyDefaults {
  bool needs_scores = false;
  bool byte_tokens = false;  ///< tokens spelled <0xNN> stand for bytes
  bool adds_bos = false;
  bool adds_eos = false;
  bool adds_space_prefix = false;
  /// Ids that hold where the file names none and the token at that id is of the right kind.
  std::optional<Token> bos, eos, unknown;
};

/// Reads the `tokenizer.ggml.*` keys. An id of 0xFFFFFFFF means that there is none; one outside the
/// vocabulary counts as not stated, with a warning. What lists have beyond the last token is left aside.
/// Errors: bad_file, naming the key and its value.
Result<Vocabulary> read_vocabulary(const Metadata& metadata, const VocabularyDefaults& defaults);

/// Whether `spelling` is one that models use to end a turn or a text, e.g. "<|im_end|>".
bool is_end_mark(std::string_view spelling) noexcept;

/// Whether `spelling` is one that models for code use around what is to be filled in, e.g. "<|fim_prefix|>".
bool is_infill_mark(std::string_view spelling) noexcept;

/// Whether it is one of those that end what is filled in, e.g. "<|file_sep|>".
bool is_infill_end(std::string_view spelling) noexcept;

/// The byte that "<0x0A>" spells (hexadecimal digits of either case); nullopt for anything else.
std::optional<unsigned char> spelled_byte(std::string_view spelling) noexcept;

}  // namespace troupe
