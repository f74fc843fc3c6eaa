#include "tokenizer/vocabulary_tokenizer.hpp"

#include <algorithm>
#include <utility>

#include "base/check.hpp"

namespace troupe {

VocabularyTokenizer::VocabularyTokenizer(Vocabulary vocabulary, std::vector<std::string> pieces)
    : vocabulary_(std::move(vocabulary)), pieces_(std::move(pieces)), spelled_(vocabulary_) {
  TROUPE_CHECK(vocabulary_.types.size() == vocabulary_.size());
  TROUPE_CHECK(pieces_.empty() || pieces_.size() == vocabulary_.size());
}

std::string_view VocabularyTokenizer::piece(Token token) const noexcept {
  if (!vocabulary_.holds(token) || is_control(token)) return {};
  return pieces_.empty() ? vocabulary_.spelling(token) : pieces_[static_cast<std::size_t>(token)];
}

std::string_view VocabularyTokenizer::spelling(Token token) const noexcept {
  if (!vocabulary_.holds(token)) return {};
  return vocabulary_.spelling(token);
}

bool VocabularyTokenizer::is_control(Token token) const noexcept {
  if (!vocabulary_.holds(token)) return false;
  const TokenType type = vocabulary_.type(token);
  return type == TokenType::control || type == TokenType::unknown;
}

bool VocabularyTokenizer::ends_generation(Token token) const noexcept {
  if (!vocabulary_.holds(token)) return false;
  const auto is = [&](const std::optional<Token>& id) { return id == token; };
  if (is(vocabulary_.eos) || is(vocabulary_.bos) || is(vocabulary_.end_of_turn) ||
      is(vocabulary_.end_of_message)) {
    return true;
  }
  const auto& infill = vocabulary_.infill_ends;
  if (std::find(infill.begin(), infill.end(), token) != infill.end()) return true;
  const std::string& spelling = vocabulary_.spelling(token);
  return vocabulary_.type(token) == TokenType::control && (is_end_mark(spelling) || is_infill_end(spelling));
}

}  // namespace troupe
