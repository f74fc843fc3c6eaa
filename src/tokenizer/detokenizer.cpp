#include "tokenizer/detokenizer.hpp"

#include "base/utf8.hpp"

namespace troupe {

std::string Detokenizer::push(Token token) {
  const std::string_view piece = tokenizer_.piece(token);
  if (piece.empty()) return {};
  const std::string bytes = held_.append(piece);
  held_.clear();
  std::string out;
  out.reserve(bytes.size());
  for (std::string_view rest = bytes; !rest.empty();) {
    const Utf8Step step = utf8_step(rest);
    if (step.truncated) {
      held_ = rest;
      break;
    }
    out += step.valid ? rest.substr(0, step.bytes) : replacement_character;
    rest.remove_prefix(step.bytes);
  }
  return out;
}

std::string Detokenizer::finish() {
  std::string out = replace_invalid_utf8(held_);
  held_.clear();
  return out;
}

}  // namespace troupe
