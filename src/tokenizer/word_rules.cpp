#include "tokenizer/word_rules.hpp"

#include "tokenizer/characters.hpp"

namespace troupe {
namespace {

constexpr CharKinds words_and_space = kind::space | kind::letter | kind::number;

bool is_newline(char32_t code) {
  return code == U'\n' || code == U'\r';
}

bool is_lower(char32_t code) {
  return code >= U'a' && code <= U'z';
}

bool is_upper(char32_t code) {
  return code >= U'A' && code <= U'Z';
}

char lowered(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// 's|'t|'re|'ve|'m|'ll|'d at `at`: its length, or 0.
template <bool any_case>
std::size_t contraction(std::string_view text, std::size_t at) {
  if (at >= text.size() || text[at] != '\'') return 0;
  const auto letter = [&](std::size_t i) {
    if (at + i >= text.size()) return '\0';
    return any_case ? lowered(text[at + i]) : text[at + i];
  };
  switch (letter(1)) {
    case 's':
    case 't':
    case 'm':
    case 'd': return 2;
    case 'r':
    case 'v': return letter(2) == 'e' ? 3 : 0;
    case 'l': return letter(2) == 'l' ? 3 : 0;
    default: return 0;
  }
}

// \s+(?!\S)|\s+ at `text`, which begins with white space: all of it, but the last character before a word.
std::size_t space_run(std::string_view text) {
  std::size_t end = 0;
  std::size_t last = 0;
  while (true) {
    const Character c = character_at(text, end);
    if (c.bytes == 0) return end;
    if (c.kind != kind::space) return last > 0 ? last : end;
    last = end;
    end += c.bytes;
  }
}

// \s*[\r\n]+|\s+(?!\S)|\s+ at `text`, which begins with white space.
std::size_t space_run_by_line(std::string_view text) {
  std::size_t last_newline_end = 0;
  for (std::size_t end = 0;;) {
    const Character c = character_at(text, end);
    if (c.kind != kind::space) break;
    end += c.bytes;
    if (is_newline(c.code)) last_newline_end = end;
  }
  return last_newline_end > 0 ? last_newline_end : space_run(text);
}

// \p{N}{1,numbers_max} at `text`, which begins with a number.
std::size_t number_run(std::string_view text, int numbers_max) {
  std::size_t end = 0;
  for (; numbers_max > 0; --numbers_max) {
    const Character c = character_at(text, end);
    if (c.kind != kind::number) break;
    end += c.bytes;
  }
  return end;
}

// What may stand behind marks, of their word.
enum class Tail : std::uint8_t { none, newlines, newlines_or_slashes };

// ` ?[marks]+` and its tail at `text`: where it ends, or 0 where no mark stands.
std::size_t marks_run(std::string_view text, CharKinds marks, Tail tail) {
  const std::size_t space = text[0] == ' ' ? 1 : 0;
  std::size_t end = end_of_run(text, space, marks);
  if (end == space) return 0;
  while (tail != Tail::none && end < text.size() &&
         (is_newline(static_cast<unsigned char>(text[end])) ||
          (tail == Tail::newlines_or_slashes && text[end] == '/'))) {
    ++end;
  }
  return end;
}

// What GPT-4's expression and those after it have in common, behind the words:
// \p{N}{1,numbers_max}| ?[^\s\p{L}\p{N}]+tail|\s*[\r\n]+|\s+(?!\S)|\s+, with `letters` for \p{L}.
std::size_t no_word(std::string_view text, const Character& first, int numbers_max, CharKinds letters,
                    Tail tail) {
  if (first.kind == kind::number) return number_run(text, numbers_max);
  const auto marks = static_cast<CharKinds>(kind::all & ~(words_and_space | letters));
  if (const std::size_t end = marks_run(text, marks, tail)) return end;
  return space_run_by_line(text);
}

std::size_t gpt4_word(std::string_view text, int numbers_max, CharKinds letters, Tail tail = Tail::newlines) {
  if (const std::size_t bytes = contraction<true>(text, 0)) return bytes;
  const Character first = character_at(text, 0);
  if (first.kind & letters) return end_of_run(text, 0, letters);
  // [^\r\n\p{L}\p{N}]?\p{L}+
  if (first.kind != kind::number && !is_newline(first.code)) {
    const std::size_t end = end_of_run(text, first.bytes, letters);
    if (end > first.bytes) return end;
  }
  return no_word(text, first, numbers_max, letters, tail);
}

// U*L+|U+L* at `at`, as tekken_word has it: where it ends, or `at` where no letter stands.
std::size_t end_of_cased_word(std::string_view text, std::size_t at) {
  std::size_t end = at;        // of U*
  std::size_t last_lower = 0;  // behind the last letter in it that can also be L
  while (true) {
    const Character c = character_at(text, end);
    if (c.kind != kind::letter) break;
    if (is_lower(c.code)) {
      Character next = c;
      do {
        end += next.bytes;
        next = character_at(text, end);
      } while (next.kind == kind::letter && !is_upper(next.code));
      return end;
    }
    end += c.bytes;
    if (!is_upper(c.code)) last_lower = end;
  }
  return last_lower > 0 ? last_lower : end;
}

std::size_t cased_word(std::string_view text, int numbers_max, bool with_contraction) {
  const Character first = character_at(text, 0);
  std::size_t at = 0;
  if (first.kind != kind::letter && first.kind != kind::number && !is_newline(first.code)) at = first.bytes;
  const std::size_t end = end_of_cased_word(text, at);
  if (end > at) return end + (with_contraction ? contraction<true>(text, end) : 0);
  return no_word(text, first, numbers_max, kind::letter, Tail::newlines_or_slashes);
}

}  // namespace

std::size_t gpt2_word(std::string_view text) {
  if (const std::size_t bytes = contraction<false>(text, 0)) return bytes;
  const std::size_t at = text[0] == ' ' ? 1 : 0;
  const CharKinds first = character_at(text, at).kind;
  if (first & kind::letter) return end_of_run(text, at, kind::letter);
  if (first & kind::number) return end_of_run(text, at, kind::number);
  constexpr CharKinds rest = kind::all & ~words_and_space;
  if (first & rest) return end_of_run(text, at, rest);
  return space_run(text);
}

std::size_t llama3_word(std::string_view text) {
  return gpt4_word(text, 3, kind::letter);
}

std::size_t qwen2_word(std::string_view text) {
  return gpt4_word(text, 1, kind::letter);
}

std::size_t qwen35_word(std::string_view text) {
  return gpt4_word(text, 1, kind::letter | kind::mark);
}

std::size_t seed_coder_word(std::string_view text) {
  return gpt4_word(text, 1, kind::letter, Tail::none);
}

std::size_t deepseek3_word(std::string_view text) {
  constexpr CharKinds letters = kind::letter | kind::mark;
  constexpr CharKinds marks = kind::punctuation | kind::symbol;
  const Character first = character_at(text, 0);
  if (first.code < 128 && (first.kind & marks)) {
    std::size_t end = 1;
    while (end < text.size() && (is_lower(static_cast<unsigned char>(text[end])) ||
                                 is_upper(static_cast<unsigned char>(text[end]))))
      ++end;
    if (end > 1) return end;
  }
  if (first.kind & letters) return end_of_run(text, 0, letters);
  if (!(first.kind & marks) && !is_newline(first.code)) {
    const std::size_t end = end_of_run(text, first.bytes, letters);
    if (end > first.bytes) return end;
  }
  if (const std::size_t end = marks_run(text, marks, Tail::newlines)) return end;
  if (first.kind == kind::space) return space_run_by_line(text);
  // Nothing matches here: all up to the next match, which begins one character before letters.
  std::size_t end = first.bytes;
  while (true) {
    const Character c = character_at(text, end);
    if (!(c.kind & (kind::number | kind::other))) return end;
    if (character_at(text, end + c.bytes).kind & letters) return end;
    end += c.bytes;
  }
}

std::size_t tekken_word(std::string_view text) {
  return cased_word(text, 1, false);
}

std::size_t gpt4o_word(std::string_view text) {
  return cased_word(text, 3, true);
}

}  // namespace troupe
