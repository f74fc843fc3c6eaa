#pragma once
// Streaming: token by token to text, never half a UTF-8 character.

#include <string>
#include <string_view>

#include "troupe/tokenizer.hpp"

namespace troupe {

/// Turns a stream of tokens into text that is valid UTF-8 whenever it is handed out: bytes of a character
/// that is not complete yet are held back; a byte sequence that can never become a character is replaced
/// by U+FFFD, one per maximal invalid prefix (Unicode 15, section 3.9, table 3-8).
/// One per running request; owned by its generator; not thread-safe. Keeps a reference to the tokenizer.
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  /// The text that `token` completes; empty while a character is still partial. At most 3 bytes are held.
  std::string push(Token token);

  /// What is still held back, as U+FFFD, when the stream ends. The object is empty afterwards.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  std::string held_;  // an incomplete character's first bytes, 0..3
};

}  // namespace troupe
