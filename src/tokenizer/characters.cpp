#include "tokenizer/characters.hpp"

#include <utf8proc.h>

#include <array>

#include "base/utf8.hpp"

namespace troupe {
namespace {

CharKinds looked_up(char32_t code) noexcept {
  if (code >= 0x09 && code <= 0x0D) return kind::space;
  if (code == 0x85) return kind::space;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return kind::letter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return kind::mark;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return kind::number;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return kind::punctuation;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return kind::symbol;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return kind::space;
    default: return kind::other;
  }
}

std::array<CharKinds, 128> ascii_kinds() {
  std::array<CharKinds, 128> kinds{};
  for (char32_t code = 0; code < 128; ++code) kinds[code] = looked_up(code);
  return kinds;
}

const std::array<CharKinds, 128> ascii = ascii_kinds();

}  // namespace

CharKinds kind_of(char32_t code) noexcept {
  return code < 128 ? ascii[code] : looked_up(code);
}

Character character_at(std::string_view text, std::size_t at) noexcept {
  if (at >= text.size()) return {};
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 128) return {lead, ascii[lead], 1};
  const Utf8Step step = utf8_step(text.substr(at));
  const char32_t code = step.valid ? step.code : U'\uFFFD';
  return {code, looked_up(code), static_cast<std::uint8_t>(step.bytes)};
}

std::size_t end_of_run(std::string_view text, std::size_t at, CharKinds kinds) noexcept {
  while (true) {
    const Character c = character_at(text, at);
    if ((c.kind & kinds) == 0) return at;
    at += c.bytes;
  }
}

}  // namespace troupe
