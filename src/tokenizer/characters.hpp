#pragma once
// Characters as the pre-tokenizers' regular expressions see them.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace troupe {

/// A set of kinds of characters; a character itself is of exactly one. By Unicode's general category,
/// except that `space` is the property White_Space: all of Z, and U+0009..U+000D and U+0085.
using CharKinds = std::uint8_t;

namespace kind {
inline constexpr CharKinds letter = 1;       // \p{L}
inline constexpr CharKinds mark = 2;         // \p{M}
inline constexpr CharKinds number = 4;       // \p{N}
inline constexpr CharKinds punctuation = 8;  // \p{P}
inline constexpr CharKinds symbol = 16;      // \p{S}
inline constexpr CharKinds space = 32;       // \s
inline constexpr CharKinds other = 64;       // \p{C} without the white space
inline constexpr CharKinds all = 127;
}  // namespace kind

/// The kind of a character that is at most U+10FFFF.
CharKinds kind_of(char32_t code) noexcept;

/// One character of a text. At the text's end: of no kind, no bytes long.
struct Character {
  char32_t code = 0;
  CharKinds kind = 0;
  std::uint8_t bytes = 0;
};

/// The character at byte `at` <= text.size(). Bytes that are no UTF-8 count as U+FFFD, each maximal invalid
/// prefix (Unicode 15, table 3-8) as one.
Character character_at(std::string_view text, std::size_t at) noexcept;

/// Where the run of characters of `kinds` that begins at `at` ends (`at` itself if there is none).
std::size_t end_of_run(std::string_view text, std::size_t at, CharKinds kinds) noexcept;

}  // namespace troupe
