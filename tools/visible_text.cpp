#include "tools/visible_text.hpp"

#include <cstdio>

#include "tools/utf8.hpp"

namespace troupe::tools {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

void append_visible(std::string& out, std::string_view bytes, char32_t code) {
  if (code == '\n' || code == '\t') {
    out += bytes;
  } else if (code < 0x20 || code == 0x7F) {
    out += '^';
    out += static_cast<char>(code ^ 0x40U);
  } else if (code >= 0x80 && code <= 0x9F) {
    char name[16];
    std::snprintf(name, sizeof name, "<U+%04X>", static_cast<unsigned>(code));
    out += name;
  } else {
    out += bytes;
  }
}

}  // namespace

std::string VisibleText::push(std::string_view chunk) {
  const std::string text = held_ + std::string(chunk);
  held_.clear();
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Character character = utf8_at(text, at);
    const std::string_view bytes = std::string_view(text).substr(at, character.length);
    switch (character.kind) {
      case Utf8Character::Kind::valid:
        append_visible(out, bytes, character.code);
        break;
      case Utf8Character::Kind::invalid:
        out += replacement;
        break;
      case Utf8Character::Kind::incomplete:
        held_ = bytes;
        break;
    }
    at += character.length;
  }
  return out;
}

std::string VisibleText::finish() {
  const bool cut = !held_.empty();
  held_.clear();
  return cut ? std::string(replacement) : std::string();
}

std::string visible(std::string_view text) {
  VisibleText filter;
  std::string out = filter.push(text);
  return out + filter.finish();
}

}  // namespace troupe::tools
