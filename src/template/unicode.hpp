#pragma once
// Characters as Python sees them. Bytes that are no UTF-8, which Python's strings cannot hold, count as
// characters of their own that no rule applies to.

#include <cstddef>
#include <string>
#include <string_view>

namespace troupe::jinja {

/// What str.strip() and str.split() take for white space.
bool is_space(char32_t code) noexcept;
/// Where str.splitlines() ends a line; "\r\n" is one end.
bool ends_line(char32_t code) noexcept;
/// What repr() shows as it is.
bool is_printable(char32_t code) noexcept;
bool is_letter(char32_t code) noexcept;
bool is_digit(char32_t code) noexcept;
bool is_upper(char32_t code) noexcept;
bool is_lower(char32_t code) noexcept;

std::string upper(std::string_view text);
std::string lower(std::string_view text);
/// str.title(): a letter behind a letter is lower case, any other upper. `in_word` carries over between parts
/// of a text.
std::string title(std::string_view text, bool& in_word);

/// How many characters `text` has.
std::size_t count_characters(std::string_view text) noexcept;
/// Where the character number `index` begins; the end of the text if there are not so many.
std::size_t byte_of_character(std::string_view text, std::size_t index) noexcept;
bool is_ascii(std::string_view text) noexcept;

/// The white space at the beginning and the end of `text`, in bytes.
std::size_t leading_space_bytes(std::string_view text) noexcept;
std::size_t trailing_space_bytes(std::string_view text) noexcept;

}  // namespace troupe::jinja
