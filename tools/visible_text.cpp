#include "tools/visible_text.hpp"

#include <cstdio>

#include "base/utf8.hpp"

namespace troupe::tools {
namespace {

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
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Step step = utf8_step(rest);
    const std::string_view bytes = rest.substr(0, step.bytes);
    if (step.valid) {
      append_visible(out, bytes, step.code);
    } else if (step.truncated) {
      held_ = bytes;
    } else {
      out += replacement_character;
    }
    rest.remove_prefix(step.bytes);
  }
  return out;
}

std::string VisibleText::finish() {
  const bool cut = !held_.empty();
  held_.clear();
  return cut ? std::string(replacement_character) : std::string();
}

std::string visible(std::string_view text) {
  VisibleText filter;
  std::string out = filter.push(text);
  return out + filter.finish();
}

}  // namespace troupe::tools
