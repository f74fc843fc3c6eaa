#pragma once
// Text to token ids and back.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "troupe/error.hpp"

namespace troupe {

/// A token id: an index into the vocabulary, 0 .. vocab_size - 1.
using Token = std::int32_t;

/// The bytes begin .. end of a text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

struct EncodeOptions {
  bool add_special = false;    ///< put BOS in front and EOS behind where the vocabulary asks for it
  bool parse_special = false;  ///< recognise control tokens written out in the text; never for user text
  /// With parse_special: only those that lie wholly in one of these ranges, which are ascending and apart
  /// from each other. nullopt: anywhere. The rest of the text is encoded as if there were no ranges.
  std::optional<std::span<const TextRange>> special_ranges = {};
};

/// One vocabulary with its algorithm. Immutable after loading, so every member may be called from any
/// number of threads at once. Owned by the Model.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// Token ids of `text`. Linear-logarithmic in the text's length. Bytes that are no valid UTF-8 are
  /// encoded byte by byte where the vocabulary has byte tokens; byte-level BPE leaves out those it has no
  /// token for. Fails (bad_argument, naming the character) only where another vocabulary cannot express
  /// the text.
  virtual Result<std::vector<Token>> encode(std::string_view text, EncodeOptions options) const = 0;
  Result<std::vector<Token>> encode(std::string_view text) const { return encode(text, EncodeOptions{}); }

  /// The text of a whole token sequence, the inverse of encode(): a space that encode() put in front is
  /// taken off, control tokens are left out unless `render_special`. May hold bytes that are no valid
  /// UTF-8 when the tokens do. Ids outside the vocabulary are skipped.
  virtual std::string decode(std::span<const Token> tokens, bool render_special) const = 0;
  std::string decode(std::span<const Token> tokens) const { return decode(tokens, false); }

  /// The bytes that one token adds in the middle of a text, e.g. " time" or one byte of a character.
  /// Empty for control tokens and for ids outside the vocabulary.
  virtual std::string_view piece(Token token) const noexcept = 0;

  /// The token as the vocabulary spells it, e.g. "<0x0A>" or "<s>"; for display. Empty if out of range.
  virtual std::string_view spelling(Token token) const noexcept = 0;

  virtual std::size_t vocab_size() const noexcept = 0;
  virtual std::optional<Token> bos() const noexcept = 0;
  virtual std::optional<Token> eos() const noexcept = 0;
  virtual bool adds_bos() const noexcept = 0;               ///< whether encode(add_special) puts BOS in front
  virtual bool adds_eos() const noexcept = 0;               ///< whether encode(add_special) puts EOS behind
  virtual bool is_control(Token token) const noexcept = 0;  ///< has no text of its own (BOS, EOS, …)

  /// Whether a generated `token` ends the answer: EOS, end-of-turn, and BOS (which starts another text).
  virtual bool ends_generation(Token token) const noexcept = 0;

  /// The algorithm's name as files spell it: "spm", "char", "bpe".
  virtual std::string_view algorithm() const noexcept = 0;
};

}  // namespace troupe
