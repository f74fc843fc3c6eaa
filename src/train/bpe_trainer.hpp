#pragma once
// Learns the merges of a byte-level BPE vocabulary (Sennrich, Haddow and Birch, "Neural machine translation
// of rare words with subword units", 2016, on bytes as GPT-2 does).

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "troupe/error.hpp"

namespace troupe::train {

/// Tokens and merges spelled in GPT-2's byte alphabet, as GGUF has them: the 256 bytes in GPT-2's order, then
/// one token per merge.
struct BpeVocabulary {
  std::vector<std::string> tokens;
  std::vector<std::string> merges;  ///< "left right", best first
};

/// Cuts the documents into words as `tokenizer.ggml.pre` = "gpt-2" does and joins the most frequent pair of
/// neighbours inside of words until there are 256 + `merges` tokens. Of equally frequent pairs the one with
/// the lower left, then lower right token wins, so the result is a function of the text. Errors: bad_argument
/// when the text has too few pairs that occur twice.
Result<BpeVocabulary> learn_bpe(std::span<const std::string_view> documents, std::size_t merges);

}  // namespace troupe::train
