#pragma once
// UTF-8 one character at a time, for text that may hold anything: prompts from the command line, names from
// model files, transcripts.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::tools {

/// What stands at one place of a byte string.
struct Utf8Character {
  enum class Kind : std::uint8_t {
    valid,       ///< `code` is the character
    invalid,     ///< `length` bytes can never become a character: one maximal prefix (Unicode 15, table 3-7)
    incomplete,  ///< the string ends inside a character that could still become valid
  };
  Kind kind = Kind::invalid;
  char32_t code = 0;
  std::size_t length = 0;  ///< bytes, at least 1
};

/// The character that begins at `text[at]`; `at` must be below text.size().
Utf8Character utf8_at(std::string_view text, std::size_t at) noexcept;

/// `text` with every sequence that is no UTF-8 replaced by U+FFFD, one per maximal prefix.
std::string repaired_utf8(std::string_view text);

/// Terminal columns that `text` takes: 0 for combining marks, 2 for wide characters, 1 for whatever is
/// invalid. Control characters count 0.
std::size_t display_columns(std::string_view text) noexcept;

/// The longest beginning of `text` that takes at most `columns`; where something is left out it ends in "…".
std::string shortened(std::string_view text, std::size_t columns);

}  // namespace troupe::tools
