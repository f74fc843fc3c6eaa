#pragma once

#include <span>
#include <string>

#include "troupe/tokenizer.hpp"

namespace troupe::tools {

/// Tokens for people, one per line: the id and, quoted so that blanks and line breaks are seen, its text;
/// control tokens as the vocabulary spells them.
std::string token_lines(const Tokenizer& tokenizer, std::span<const Token> tokens);

}  // namespace troupe::tools
