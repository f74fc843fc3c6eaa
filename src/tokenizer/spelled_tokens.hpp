#pragma once
// Tokens that are found in a text by their spelling, before any algorithm sees the rest: user-defined ones
// always, control tokens where the caller vouches for the text.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.hpp"

namespace troupe {

/// Immutable after construction, so safe from any number of threads. Refers to the vocabulary.
class SpelledTokens {
 public:
  explicit SpelledTokens(const Vocabulary& vocabulary);

  /// A stretch of the text, and the token that it spells; without a token, a stretch for the algorithm.
  struct Part {
    std::string_view text;
    std::optional<Token> token;
  };

  /// The whole of `text` in order, but the white space that a token drops behind it; no part empty, no two
  /// neighbours without a token. Control tokens are found where `options` say so, user-defined ones anywhere.
  /// Where spellings overlap the longest anywhere in the text wins, then the lower id, then the one further
  /// left: the order in which llama.cpp looks for them. Time n log n for a text of n bytes.
  std::vector<Part> split(std::string_view text, const EncodeOptions& options) const;

 private:
  struct Range {
    std::uint32_t begin = 0, end = 0;
  };

  /// The longest token spelled at `at`, taking up at most `bytes_max` bytes; control tokens at most
  /// `special_bytes_max`.
  std::optional<Token> longest_at(std::string_view text, std::size_t at, std::size_t bytes_max,
                                  std::size_t special_bytes_max) const;

  std::size_t end_of_dropped_space(std::string_view text, std::size_t at, Token token,
                                   const std::vector<bool>& taken) const;

  const Vocabulary& vocabulary_;
  std::vector<Token> sorted_;          // by spelling, no two alike, none empty
  std::array<Range, 256> first_byte_;  // the range of sorted_ that begins with a byte
};

}  // namespace troupe
