#pragma once
// The regular expressions of the pre-tokenizers, each as a function written by hand.

#include <cstddef>
#include <string_view>

namespace troupe {

/// The length in bytes of the first word of `text`, which is not empty: 1 .. text.size(). A word is a match
/// of the rule's expression (the leftmost alternative that matches, as in Perl), or what stands in front of
/// the next match. Looks at `text` alone: its end is the end for every lookahead. Calling a rule again and
/// again on what its last word leaves takes time linear in the text.
using WordRule = std::size_t (*)(std::string_view text);

// The expression stands above each; \s is the property White_Space, bytes that are no UTF-8 are as U+FFFD.

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
std::size_t gpt2_word(std::string_view text);

/// (?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}
/// | ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
std::size_t llama3_word(std::string_view text);

/// As llama3_word, but \p{N} instead of \p{N}{1,3}.
std::size_t qwen2_word(std::string_view text);

/// As qwen2_word, but [\p{L}\p{M}]+ instead of \p{L}+ and [^\s\p{L}\p{M}\p{N}]+ instead of [^\s\p{L}\p{N}]+.
std::size_t qwen35_word(std::string_view text);

/// As qwen2_word, but ` ?[^\s\p{L}\p{N}]+` without the newlines behind it.
std::size_t seed_coder_word(std::string_view text);

/// [^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
/// where U is a letter but a-z and L a letter but A-Z: what llama.cpp makes of the model's [\p{Lu}…\p{M}]
/// and [\p{Ll}…\p{M}].
std::size_t tekken_word(std::string_view text);

/// As tekken_word, but \p{N}{1,3}, and the first two alternatives go on with a contraction of llama3_word.
std::size_t gpt4o_word(std::string_view text);

/// [!-/:-@[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*
/// |\s*[\r\n]+|\s+(?!\S)|\s+
std::size_t deepseek3_word(std::string_view text);

/// [\p{P}$+<=>^~|]+
std::size_t punctuation_word(std::string_view text);

/// [\p{P}$+<=>^~|`]+
std::size_t falcon_punctuation_word(std::string_view text);

/// \p{N}
std::size_t one_number_word(std::string_view text);

/// \p{N}{1,3}
std::size_t three_numbers_word(std::string_view text);

/// \p{N}+
std::size_t numbers_word(std::string_view text);

/// [0-9][0-9][0-9]
std::size_t three_digits_word(std::string_view text);

/// [\r\n]
std::size_t newline_word(std::string_view text);

/// \s+$
std::size_t last_space_word(std::string_view text);

/// \s?\p{L}+
std::size_t spaced_letters_word(std::string_view text);

/// \s?\p{P}+
std::size_t spaced_punctuation_word(std::string_view text);

/// [一-龥ࠀ-一가-퟿]+, where no character is white space
std::size_t east_asian_word(std::string_view text);

/// [一-龥぀-ゟ゠-ヿ]+
std::size_t han_or_kana_word(std::string_view text);

/// ` ?[^(\s|.,!?…。，、।۔،)]+`
std::size_t viking_word(std::string_view text);

/// \s? and letters that have cases, as DeepSeek LLM lists them
std::size_t deepseek_letters_word(std::string_view text);

/// \s?[!-/:-~！-／：-～‘-‟、。]+
std::size_t deepseek_punctuation_word(std::string_view text);

}  // namespace troupe
