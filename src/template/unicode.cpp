#include "template/unicode.hpp"

#include <utf8proc.h>

#include <algorithm>

#include "base/utf8.hpp"

namespace troupe::jinja {
namespace {

utf8proc_category_t category(char32_t code) noexcept {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

/// `map` of every valid character; what is not valid stays.
template <class Map>
std::string mapped(std::string_view text, Map map) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (step.valid) {
      map(out, step.code, text.substr(0, step.bytes));
    } else {
      out += text.substr(0, step.bytes);
    }
    text.remove_prefix(step.bytes);
  }
  return out;
}

void append(std::string& out, utf8proc_int32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else {
    out += utf8_encode(static_cast<char32_t>(code));
  }
}

constexpr char32_t sharp_s = 0xDF;  // the one letter in common use whose upper case is two

void append_upper(std::string& out, char32_t code) {
  if (code == sharp_s) {
    out += "SS";
  } else {
    append(out, utf8proc_toupper(static_cast<utf8proc_int32_t>(code)));
  }
}

/// The last character of `text`, in bytes; at least one.
std::size_t last_character_bytes(std::string_view text) noexcept {
  std::size_t bytes = 1;
  while (bytes < 4 && bytes < text.size() &&
         (static_cast<unsigned char>(text[text.size() - bytes]) & 0xC0U) == 0x80U) {
    ++bytes;
  }
  const Utf8Step step = utf8_step(text.substr(text.size() - bytes));
  return step.valid && step.bytes == bytes ? bytes : 1;
}

}  // namespace

bool is_space(char32_t code) noexcept {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 || code == 0xA0 ||
         code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 ||
         code == 0x202F || code == 0x205F || code == 0x3000;
}

bool ends_line(char32_t code) noexcept {
  return (code >= 0x0A && code <= 0x0D) || (code >= 0x1C && code <= 0x1E) || code == 0x85 || code == 0x2028 ||
         code == 0x2029;
}

bool is_printable(char32_t code) noexcept {
  if (code < 0x7F) return code >= 0x20;
  switch (category(code)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

bool is_letter(char32_t code) noexcept {
  const auto kind = category(code);
  return kind == UTF8PROC_CATEGORY_LU || kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LT ||
         kind == UTF8PROC_CATEGORY_LM || kind == UTF8PROC_CATEGORY_LO;
}

bool is_digit(char32_t code) noexcept {
  return category(code) == UTF8PROC_CATEGORY_ND;
}

bool is_upper(char32_t code) noexcept {
  return category(code) == UTF8PROC_CATEGORY_LU;
}

bool is_lower(char32_t code) noexcept {
  return category(code) == UTF8PROC_CATEGORY_LL;
}

std::string upper(std::string_view text) {
  return mapped(text, [](std::string& out, char32_t code, std::string_view) { append_upper(out, code); });
}

std::string lower(std::string_view text) {
  return mapped(text, [](std::string& out, char32_t code, std::string_view) {
    append(out, utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
  });
}

std::string title(std::string_view text, bool& in_word) {
  return mapped(text, [&in_word](std::string& out, char32_t code, std::string_view) {
    const auto letter = static_cast<utf8proc_int32_t>(code);
    if (code == sharp_s && !in_word) {
      out += "Ss";
    } else {
      append(out, in_word ? utf8proc_tolower(letter) : utf8proc_totitle(letter));
    }
    in_word = is_upper(code) || is_lower(code) || category(code) == UTF8PROC_CATEGORY_LT;
  });
}

std::size_t count_characters(std::string_view text) noexcept {
  std::size_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(utf8_step(text).bytes);
  return count;
}

std::size_t byte_of_character(std::string_view text, std::size_t index) noexcept {
  std::size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += utf8_step(text.substr(at)).bytes;
  return at;
}

bool is_ascii(std::string_view text) noexcept {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::size_t leading_space_bytes(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    const Utf8Step step = utf8_step(text.substr(at));
    if (!step.valid || !is_space(step.code)) break;
    at += step.bytes;
  }
  return at;
}

std::size_t trailing_space_bytes(std::string_view text) noexcept {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t bytes = last_character_bytes(text.substr(0, end));
    const Utf8Step step = utf8_step(text.substr(end - bytes, bytes));
    if (!step.valid || !is_space(step.code)) break;
    end -= bytes;
  }
  return text.size() - end;
}

}  // namespace troupe::jinja
