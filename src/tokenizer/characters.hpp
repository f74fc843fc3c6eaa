#pragma once
// Characters as the pre-tokenizers' regular expressions see them.

#include <array>
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

namespace detail {
constexpr std::array<CharKinds, 128> kinds_of_ascii() {
  std::array<CharKinds, 128> kinds{};
  for (unsigned c = 0; c < 128; ++c) {
    const bool is_letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    const bool is_number = c >= '0' && c <= '9';
    const bool is_symbol = std::string_view("$+<=>^`|~").find(static_cast<char>(c)) != std::string_view::npos;
    const bool is_space = c == ' ' || (c >= '\t' && c <= '\r');
    kinds[c] = is_letter               ? kind::letter
               : is_number             ? kind::number
               : is_symbol             ? kind::symbol
               : is_space              ? kind::space
               : c < 0x20 || c == 0x7F ? kind::other
                                       : kind::punctuation;
  }
  return kinds;
}
inline constexpr auto ascii_kinds = kinds_of_ascii();

Character long_character_at(std::string_view text, std::size_t at) noexcept;
}  // namespace detail

/// The character at byte `at`. Bytes that are no UTF-8 count as U+FFFD, each maximal invalid prefix
/// (Unicode 15, table 3-8) as one.
inline Character character_at(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return {};
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 128) return {lead, detail::ascii_kinds[lead], 1};
  return detail::long_character_at(text, at);
}

/// Where the run of characters of `kinds` that begins at `at` ends (`at` itself if there is none).
inline std::size_t end_of_run(std::string_view text, std::size_t at, CharKinds kinds) noexcept {
  while (true) {
    const Character c = character_at(text, at);
    if ((c.kind & kinds) == 0) return at;
    at += c.bytes;
  }
}

}  // namespace troupe
