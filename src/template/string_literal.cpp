#include "template/string_literal.hpp"

#include "base/utf8.hpp"
#include "template/budget.hpp"

namespace troupe::jinja {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The escape behind a backslash; returns how many bytes of `rest` it takes.
std::size_t append_escape(std::string& out, std::string_view rest, std::uint32_t line) {
  const char c = rest.front();
  const auto code_point = [&](std::size_t digits) {
    char32_t code = 0;
    for (std::size_t i = 1; i <= digits; ++i) {
      const int digit = i < rest.size() ? hex_digit(rest[i]) : -1;
      if (digit < 0)
        fail_at(line, "the escape \\" + std::string(1, c) + " needs " + std::to_string(digits) +
                          " hexadecimal digits");
      code = code * 16 + static_cast<char32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
      fail_at(line, "an escape \\" + std::string(1, c) + " is no character");
    }
    out += utf8_encode(code);
    return digits + 1;
  };
  switch (c) {
    case '\n': return 1;  // a line that goes on
    case 'a': out += '\a'; return 1;
    case 'b': out += '\b'; return 1;
    case 'f': out += '\f'; return 1;
    case 'n': out += '\n'; return 1;
    case 'r': out += '\r'; return 1;
    case 't': out += '\t'; return 1;
    case 'v': out += '\v'; return 1;
    case '\\':
    case '\'':
    case '"': out += c; return 1;
    case 'x': return code_point(2);
    case 'u': return code_point(4);
    case 'U': return code_point(8);
    case 'N': fail_at(line, "the escape \\N for named characters is not supported");
    default: break;
  }
  if (c >= '0' && c <= '7') {
    std::size_t digits = 0;
    char32_t code = 0;
    while (digits < 3 && digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '7') {
      code = code * 8 + static_cast<char32_t>(rest[digits++] - '0');
    }
    out += utf8_encode(code);
    return digits;
  }
  out += '\\';  // not an escape: both characters stay
  return 0;
}

}  // namespace

StringLiteral read_string_literal(std::string_view source, std::uint32_t line) {
  const char quote = source.front();
  StringLiteral literal;
  std::size_t at = 1;
  while (at < source.size() && source[at] != quote) {
    if (source[at] != '\\') {
      literal.text += source[at++];
      continue;
    }
    if (++at == source.size()) break;
    at += append_escape(literal.text, source.substr(at), line);
  }
  if (at >= source.size()) fail_at(line, "a string is not closed");
  literal.bytes = at + 1;
  return literal;
}

}  // namespace troupe::jinja
