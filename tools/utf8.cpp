#include "tools/utf8.hpp"

#include <utf8proc.h>

namespace troupe::tools {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

// The well-formed second bytes after a first byte: Unicode 15, table 3-7. Later bytes are always 80..BF.
struct Lead {
  std::uint8_t length;  // of the whole character; 0: no character begins so
  std::uint8_t second_min;
  std::uint8_t second_max;
};

Lead lead_of(std::uint8_t byte) {
  if (byte >= 0xC2 && byte <= 0xDF) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte >= 0xE1 && byte <= 0xEF) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte >= 0xF1 && byte <= 0xF3) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

std::size_t columns_of(const Utf8Character& character) {
  if (character.kind != Utf8Character::Kind::valid) return 1;
  const int width = utf8proc_charwidth(static_cast<utf8proc_int32_t>(character.code));
  return width > 0 ? static_cast<std::size_t>(width) : 0;
}

}  // namespace

Utf8Character utf8_at(std::string_view text, std::size_t at) noexcept {
  using Kind = Utf8Character::Kind;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[at + i]); };
  const std::uint8_t first = byte(0);
  if (first < 0x80) return {Kind::valid, first, 1};
  const Lead lead = lead_of(first);
  if (lead.length == 0) return {Kind::invalid, 0, 1};
  char32_t code = first & (0xFFU >> (lead.length + 1U));
  for (std::size_t i = 1; i < lead.length; ++i) {
    if (at + i == text.size()) return {Kind::incomplete, 0, i};
    const std::uint8_t low = i == 1 ? lead.second_min : 0x80;
    const std::uint8_t high = i == 1 ? lead.second_max : 0xBF;
    if (byte(i) < low || byte(i) > high) return {Kind::invalid, 0, i};
    code = (code << 6U) | (byte(i) & 0x3FU);
  }
  return {Kind::valid, code, lead.length};
}

std::string repaired_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character character = utf8_at(text, at);
    if (character.kind == Utf8Character::Kind::valid) {
      out += text.substr(at, character.length);
    } else {
      out += replacement;
    }
    at += character.length;
  }
  return out;
}

std::size_t display_columns(std::string_view text) noexcept {
  std::size_t columns = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character character = utf8_at(text, at);
    columns += columns_of(character);
    at += character.length;
  }
  return columns;
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (display_columns(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t used = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const Utf8Character character = utf8_at(text, at);
    const std::size_t wide = columns_of(character);
    if (used + wide > columns - 1) break;  // one column is for the ellipsis
    used += wide;
    at += character.length;
  }
  return std::string(text.substr(0, at)) + "\xE2\x80\xA6";
}

}  // namespace troupe::tools
