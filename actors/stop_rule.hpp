#pragma once
// When an answer ends and what text may be shown meanwhile. Pure: no actors, no clock.

#include <cstdint>
#include <optional>
#include <string>

#include "tokenizer/detokenizer.hpp"
#include "troupe/generation.hpp"

namespace troupe {

/// One request's end conditions and its text so far. One owner; not thread-safe. A pure function of the
/// tokens pushed, so a replay restores it. Keeps references to the tokenizer and the options.
class StopRule {
 public:
  /// `room` is how many tokens fit the context behind the prompt.
  StopRule(const Tokenizer& tokenizer, const GenerationOptions& options, std::size_t room)
      : tokenizer_(tokenizer), options_(options), room_(room), detokenizer_(tokenizer) {}

  struct Outcome {
    bool emit = false;  ///< the token belongs to the answer
    std::string text;   ///< that may be shown now; with emit only
    std::optional<FinishReason> end;
    std::string tail;  ///< with end: what was held back, to be shown behind `text`
  };

  /// Takes the next token of the answer.
  Outcome push(Token token);

  /// What is held back of an answer that is interrupted here.
  std::string take_held();

  /// The end that is due before any (further) token: max_tokens reached, or the context full.
  std::optional<FinishReason> due() const;

  std::size_t tokens() const noexcept { return tokens_; }

  /// How many more tokens the answer may have.
  std::size_t left() const noexcept;

 private:
  std::string hold_back_stop_prefix();
  std::optional<std::size_t> find_stop() const;

  const Tokenizer& tokenizer_;
  const GenerationOptions& options_;
  std::size_t room_;
  Detokenizer detokenizer_;
  std::size_t tokens_ = 0;
  std::string held_;  // text that may be the beginning of a stop text; shorter than the longest of them
};

}  // namespace troupe
