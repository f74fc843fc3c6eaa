// Rules that take out of a text what matches a short expression, and leave the rest in one part:
// pre-tokenizers apply several, one after another.

#include <algorithm>
#include <iterator>

#include "tokenizer/characters.hpp"
#include "tokenizer/word_rules.hpp"

namespace troupe {
namespace {

/// The match at the start of `text`, or what stands in front of the first match. `end_of_match(at)` is where
/// a match that begins at `at` ends, or `at` where none does, found out in constant time.
template <class EndOfMatch>
std::size_t match_or_gap(std::string_view text, const EndOfMatch& end_of_match) {
  if (const std::size_t end = end_of_match(0); end > 0) return end;
  std::size_t at = 0;
  do {
    at += character_at(text, at).bytes;
  } while (at < text.size() && end_of_match(at) == at);
  return at;
}

/// `matches`+
template <class Matches>
std::size_t end_of_all(std::string_view text, std::size_t at, const Matches& matches) {
  while (true) {
    const Character c = character_at(text, at);
    if (c.bytes == 0 || !matches(c)) return at;
    at += c.bytes;
  }
}

/// [`matches`]+
template <class Matches>
std::size_t run_word(std::string_view text, const Matches& matches) {
  return end_of_all(
      text, 0, [&, in = matches(character_at(text, 0))](const Character& c) { return matches(c) == in; });
}

/// `space`?[`matches`]+
template <class Space, class Matches>
std::size_t spaced_word(std::string_view text, const Space& space, const Matches& matches) {
  return match_or_gap(text, [&](std::size_t at) {
    const Character first = character_at(text, at);
    const std::size_t begin = space(first) ? at + first.bytes : at;
    const std::size_t end = end_of_all(text, begin, matches);
    return end > begin ? end : at;
  });
}

/// \s?[`matches`]+
template <class Matches>
std::size_t spaced_word(std::string_view text, const Matches& matches) {
  return spaced_word(
      text, [](const Character& c) { return c.kind == kind::space; }, matches);
}

/// A list of ranges, each from its first to its last character.
struct Range {
  char32_t first, last;
};

template <std::size_t n>
bool is_in(const Range (&ranges)[n], char32_t code) {
  const auto after = std::upper_bound(std::begin(ranges), std::end(ranges), code,
                                      [](char32_t c, const Range& range) { return c < range.first; });
  return after != std::begin(ranges) && code <= std::prev(after)->last;
}

constexpr Range cased_letters[] = {
    {0x41, 0x5A},       {0x61, 0x7A},       {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},
    {0xF8, 0x1BA},      {0x1BC, 0x1BF},     {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},
    {0x376, 0x377},     {0x37B, 0x37D},     {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},
    {0x38C, 0x38C},     {0x38E, 0x3A1},     {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},
    {0x531, 0x556},     {0x10A0, 0x10C5},   {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},   {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},   {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},   {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},   {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},   {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},
    {0x210A, 0x2113},   {0x2115, 0x2115},   {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},
    {0x2128, 0x2128},   {0x212A, 0x212D},   {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},
    {0x2145, 0x2149},   {0x214E, 0x214E},   {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},
    {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},   {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},
    {0xA771, 0xA787},   {0xA78B, 0xA78E},   {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},
    {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},   {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943}};

// Without U+3000, which is white space.
constexpr Range deepseek_punctuation[] = {{U'!', U'/'},     {U':', U'~'},     {0x2018, 0x201F},
                                          {0x3001, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};

constexpr Range east_asian[] = {{0x800, 0x9FA5}, {0xAC00, 0xD7FF}};

constexpr Range han_or_kana[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};

// All but white space.
constexpr Range viking_marks[] = {{U'!', U'!'},   {U'(', U')'},     {U',', U','},     {U'.', U'.'},
                                  {U'?', U'?'},   {U'|', U'|'},     {0x60C, 0x60C},   {0x6D4, 0x6D4},
                                  {0x964, 0x964}, {0x2026, 0x2026}, {0x3001, 0x3002}, {0xFF0C, 0xFF0C}};

bool is_newline(const Character& c) {
  return c.code == U'\n' || c.code == U'\r';
}

bool is_ascii_digit(std::string_view text, std::size_t at) {
  return at < text.size() && text[at] >= '0' && text[at] <= '9';
}

bool is_falcon_punctuation(const Character& c) {
  return c.kind == kind::punctuation || (c.kind == kind::symbol && c.code < 128);
}

}  // namespace

std::size_t punctuation_word(std::string_view text) {
  return run_word(text, [](const Character& c) { return is_falcon_punctuation(c) && c.code != U'`'; });
}

std::size_t falcon_punctuation_word(std::string_view text) {
  return run_word(text, is_falcon_punctuation);
}

std::size_t one_number_word(std::string_view text) {
  const Character first = character_at(text, 0);
  if (first.kind == kind::number) return first.bytes;
  return end_of_run(text, first.bytes, kind::all & ~kind::number);
}

std::size_t three_numbers_word(std::string_view text) {
  std::size_t end = end_of_run(text, 0, kind::all & ~kind::number);
  if (end > 0) return end;
  for (int numbers = 0; numbers < 3; ++numbers) {
    const Character c = character_at(text, end);
    if (c.kind != kind::number) break;
    end += c.bytes;
  }
  return end;
}

std::size_t numbers_word(std::string_view text) {
  return run_word(text, [](const Character& c) { return c.kind == kind::number; });
}

std::size_t three_digits_word(std::string_view text) {
  return match_or_gap(text, [&](std::size_t at) {
    const bool three =
        is_ascii_digit(text, at) && is_ascii_digit(text, at + 1) && is_ascii_digit(text, at + 2);
    return three ? at + 3 : at;
  });
}

std::size_t newline_word(std::string_view text) {
  if (is_newline(character_at(text, 0))) return 1;
  return std::min(text.find_first_of("\r\n"), text.size());
}

std::size_t last_space_word(std::string_view text) {
  std::size_t begin = 0;  // of the last run of white space
  for (std::size_t at = 0; at < text.size();) {
    const Character c = character_at(text, at);
    at += c.bytes;
    if (c.kind != kind::space) begin = at;
  }
  return begin == 0 ? text.size() : begin;
}

std::size_t spaced_letters_word(std::string_view text) {
  return spaced_word(text, [](const Character& c) { return c.kind == kind::letter; });
}

std::size_t spaced_punctuation_word(std::string_view text) {
  return spaced_word(text, [](const Character& c) { return c.kind == kind::punctuation; });
}

std::size_t east_asian_word(std::string_view text) {
  return run_word(text,
                  [](const Character& c) { return c.kind != kind::space && is_in(east_asian, c.code); });
}

std::size_t han_or_kana_word(std::string_view text) {
  return run_word(text, [](const Character& c) { return is_in(han_or_kana, c.code); });
}

std::size_t viking_word(std::string_view text) {
  return spaced_word(
      text, [](const Character& c) { return c.code == U' '; },
      [](const Character& c) { return c.kind != kind::space && !is_in(viking_marks, c.code); });
}

std::size_t deepseek_letters_word(std::string_view text) {
  return spaced_word(text, [](const Character& c) { return is_in(cased_letters, c.code); });
}

std::size_t deepseek_punctuation_word(std::string_view text) {
  return spaced_word(text, [](const Character& c) { return is_in(deepseek_punctuation, c.code); });
}

}  // namespace troupe
