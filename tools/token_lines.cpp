#include "tools/token_lines.hpp"

#include <algorithm>

#include "base/utf8.hpp"
#include "tools/json_text.hpp"

namespace troupe::tools {

std::string token_lines(const Tokenizer& tokenizer, std::span<const Token> tokens) {
  std::size_t id_columns = 1;
  for (const Token token : tokens) id_columns = std::max(id_columns, std::to_string(token).size());
  std::string out;
  for (const Token token : tokens) {
    const std::string id = std::to_string(token);
    const std::string_view piece = tokenizer.piece(token);
    // A byte token's piece may be one byte of a character: its spelling, <0xC3>, says more than U+FFFD would.
    const bool show_piece = !piece.empty() && is_valid_utf8(piece);
    out += std::string(id_columns - id.size(), ' ') + id + "  ";
    out += show_piece ? json_quoted(piece) : std::string(tokenizer.spelling(token));
    out += '\n';
  }
  return out;
}

}  // namespace troupe::tools
