#pragma once
// UTF-8 as the Unicode standard defines it (table 3-7: no surrogates, no overlong forms, at most U+10FFFF),
// and text that is safe to show on one line of a terminal.

#include <cstddef>
#include <string>
#include <string_view>

namespace troupe {

struct Utf8Step {
  char32_t code = 0;      ///< the character, when valid
  std::size_t bytes = 0;  ///< its length, or that of the maximal invalid prefix (at least 1); 0 at the end
  bool valid = false;
  bool truncated = false;  ///< not valid only because `text` ends here: more bytes could complete it
};

/// U+FFFD, which takes the place of what cannot be decoded.
inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// Decodes the first character of `text`.
Utf8Step utf8_step(std::string_view text) noexcept;

bool is_valid_utf8(std::string_view text) noexcept;

/// `text` with U+FFFD for each maximal invalid prefix (table 3-8), a truncated character at the end included.
/// The result is valid; valid text comes back as it is.
std::string replace_invalid_utf8(std::string_view text);

/// `code` in UTF-8. `code` is at most U+10FFFF and no surrogate.
std::string utf8_encode(char32_t code);

/// `text` made fit for one line of a terminal or log: control characters, line separators, characters that
/// reorder or hide text, backslashes and bytes that are no UTF-8 become escapes (\n, \x1b, \u202e);
/// everything else stays. After about `bytes_max` bytes it is cut at a character and ends in "…".
std::string printable(std::string_view text, std::size_t bytes_max = 120);

/// printable() in single quotes, for names inside sentences. A quote within is escaped too.
std::string in_quotes(std::string_view text, std::size_t bytes_max = 120);

}  // namespace troupe
