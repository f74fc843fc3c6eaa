#include "base/utf8.hpp"

#include <cstdint>

namespace troupe {
namespace {

// A backslash, `kind` (x, u or U) and the number in `digits` hexadecimal digits.
std::string hex_escape(char kind, std::uint32_t value, int digits) {
  std::string out = {'\\', kind};
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += "0123456789abcdef"[(value >> shift) & 15];
  return out;
}

// Characters that move the cursor, break the line, reorder or hide what stands around them.
bool is_unsafe(char32_t c) {
  return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
         (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE007F);
}

std::string escape(char32_t c) {
  switch (c) {
    case '\n': return "\\n";
    case '\r': return "\\r";
    case '\t': return "\\t";
    default: break;
  }
  if (c < 0x80) return hex_escape('x', c, 2);
  return c < 0x10000 ? hex_escape('u', c, 4) : hex_escape('U', c, 8);
}

std::string escaped(std::string_view text, std::size_t bytes_max, char quote) {
  std::string out;
  while (!text.empty()) {
    if (out.size() >= bytes_max) return out + "…";
    const Utf8Step step = utf8_step(text);
    if (!step.valid) {
      for (std::size_t i = 0; i < step.bytes; ++i)
        out += hex_escape('x', static_cast<unsigned char>(text[i]), 2);
    } else if (is_unsafe(step.code)) {
      out += escape(step.code);
    } else if (step.code == U'\\' || (quote != 0 && step.code == static_cast<unsigned char>(quote))) {
      out += '\\';
      out += text.front();
    } else {
      out += text.substr(0, step.bytes);
    }
    text.remove_prefix(step.bytes);
  }
  return out;
}

}  // namespace

Utf8Step utf8_step(std::string_view text) noexcept {
  if (text.empty()) return {};
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = at(0);
  if (lead < 0x80) return {lead, 1, true, false};

  // Only the second byte's range depends on the first; it is what excludes overlong forms and surrogates.
  std::size_t length = 0;
  unsigned low = 0x80;
  unsigned high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {0, 1, false, false};
  }

  char32_t code = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= text.size()) return {0, i, false, true};
    if (at(i) < low || at(i) > high) return {0, i, false, false};
    code = (code << 6) | (at(i) & 0x3F);
    low = 0x80;
    high = 0xBF;
  }
  return {code, length, true, false};
}

bool is_valid_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    if (!step.valid) return false;
    text.remove_prefix(step.bytes);
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    out += step.valid ? text.substr(0, step.bytes) : replacement_character;
    text.remove_prefix(step.bytes);
  }
  return out;
}

std::string utf8_encode(char32_t code) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xC0 | (code >> 6)), tail(0)};
  if (code < 0x10000) return {static_cast<char>(0xE0 | (code >> 12)), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | (code >> 18)), tail(12), tail(6), tail(0)};
}

std::string printable(std::string_view text, std::size_t bytes_max) {
  return escaped(text, bytes_max, 0);
}

std::string in_quotes(std::string_view text, std::size_t bytes_max) {
  std::string out(1, '\'');
  out += escaped(text, bytes_max, '\'');
  out += '\'';
  return out;
}

}  // namespace troupe
