#pragma once
// Guesses how a text goes on from what it has said before. Pure: no actors, no clock.

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "troupe/tokenizer.hpp"

namespace troupe {

/// One request's text, prompt and answer, and where in it its last tokens stood before. Each token is held
/// against what would have been guessed, so how much guesses are worth is known before any is tried. A push
/// takes constant time; the memory is some 16 bytes a token. One owner; not thread-safe.
class PromptLookup {
 public:
  /// The text goes on with `token`.
  void push(Token token);

  /// What followed the last tokens when they stood there before, at most `tokens_max` tokens; nothing when
  /// fewer than match_min of them did.
  std::vector<Token> propose(std::size_t tokens_max) const;

  /// How likely the first guess is right: how often that was so lately, of matches about as long.
  double rate() const;

  /// Fewer tokens recur by chance; of more nothing better is known.
  static constexpr std::size_t match_min = 2, match_max = 16;

 private:
  using Position = std::uint32_t;
  static constexpr Position nowhere = ~Position{0};

  std::size_t bucket() const;
  void learn(bool right);
  void find_match();
  std::size_t match_length(std::size_t end) const;
  std::size_t slot_of(std::size_t end) const;
  void index(std::size_t end);

  std::vector<Token> text_;
  // Places behind two tokens, in lists of those that share a slot, latest first. Slots are a power of two.
  std::vector<Position> latest_;                     // [slots]
  std::vector<Position> before_;                     // [places]: the one before this one in its list
  std::size_t source_ = 0;                           // where the match goes on: the guess is the token there
  std::size_t length_ = 0;                           // of the match; 0: there is none
  std::array<double, 4> rates_{0.3, 0.5, 0.7, 0.8};  // by length: 2 to 3, 4 to 7, 8 to 15, more
};

}  // namespace troupe
