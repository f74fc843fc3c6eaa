#pragma once
// How byte-level BPE cuts a text into words before it merges: `tokenizer.ggml.pre`.

#include <array>
#include <cstddef>
#include <string_view>

#include "tokenizer/word_rules.hpp"
#include "troupe/error.hpp"

namespace troupe {

/// Rules, each cutting further what the one before it left whole, and what else goes by the name.
struct PreTokenizer {
  std::string_view name;
  std::array<WordRule, 6> rules{};  ///< null behind the last
  bool ignores_merges = false;      ///< a word that is a token as it stands is not merged
  bool adds_bos = false;            ///< where the file does not say
};

/// The pre-tokenizer called `name`; "" means that a file names none. Errors: unsupported, with the name.
Result<const PreTokenizer*> find_pre_tokenizer(std::string_view name);

/// Calls `word(std::string_view)` for each word of `text` in order; they add up to the text.
template <class Word>
void for_each_word(const PreTokenizer& pre, std::string_view text, Word&& word, std::size_t first_rule = 0) {
  if (first_rule == pre.rules.size() || pre.rules[first_rule] == nullptr) {
    if (!text.empty()) word(text);
    return;
  }
  while (!text.empty()) {
    const std::size_t bytes = pre.rules[first_rule](text);
    for_each_word(pre, text.substr(0, bytes), word, first_rule + 1);
    text.remove_prefix(bytes);
  }
}

}  // namespace troupe
