#include "tokenizer/char.hpp"

#include <cstdio>
#include <utility>

#include "base/utf8.hpp"

namespace troupe {
namespace {

bool stands_for_a_character(TokenType type) {
  return type == TokenType::normal || type == TokenType::unused;
}

std::string number_of(char32_t code) {
  char text[16];
  std::snprintf(text, sizeof text, "U+%04X", static_cast<unsigned>(code));
  return text;
}

/// The character itself and its number: what it looks like does not always tell which one it is.
Error unknown_character(const Utf8Step& step, std::string_view bytes, std::size_t position) {
  const std::string where = " at byte " + std::to_string(position) + " of the text";
  if (!step.valid) {
    return {Errc::bad_argument, "the bytes " + in_quotes(bytes) + where +
                                    " are no UTF-8, and a vocabulary of characters has no tokens for them"};
  }
  return {Errc::bad_argument, "the vocabulary has no token for the character " + in_quotes(bytes) + " (" +
                                  number_of(step.code) + ")" + where};
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> CharTokenizer::create(Vocabulary vocabulary) {
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    if (!stands_for_a_character(vocabulary.types[i])) continue;
    const std::string& spelling = vocabulary.spellings[i];
    const Utf8Step step = utf8_step(spelling);
    if (!step.valid || step.bytes != spelling.size()) {
      return Error{Errc::bad_file, "tokenizer.ggml.tokens has " + in_quotes(spelling) + " as token " +
                                       std::to_string(i) +
                                       "; with tokenizer.ggml.model 'char' each is one character"};
    }
  }
  return std::unique_ptr<Tokenizer>(new CharTokenizer(std::move(vocabulary)));
}

CharTokenizer::CharTokenizer(Vocabulary vocabulary_in) : VocabularyTokenizer(std::move(vocabulary_in)) {
  const Vocabulary& v = vocabulary();
  for (std::size_t i = 0; i < v.size(); ++i) {
    // Of equal characters the lowest id stays.
    if (stands_for_a_character(v.types[i])) {
      characters_.try_emplace(utf8_step(v.spellings[i]).code, static_cast<Token>(i));
    }
  }
}

Result<std::vector<Token>> CharTokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<Token> out;
  if (options.add_special && adds_bos()) out.push_back(*bos());
  for (const SpelledTokens::Part& part : spelled().split(text, options)) {
    if (part.token) {
      out.push_back(*part.token);
      continue;
    }
    for (std::string_view rest = part.text; !rest.empty();) {
      const Utf8Step step = utf8_step(rest);
      const auto found = step.valid ? characters_.find(step.code) : characters_.end();
      if (found == characters_.end()) {
        return unknown_character(step, rest.substr(0, step.bytes),
                                 static_cast<std::size_t>(rest.data() - text.data()));
      }
      out.push_back(found->second);
      rest.remove_prefix(step.bytes);
    }
  }
  if (options.add_special && adds_eos()) out.push_back(*eos());
  return out;
}

std::string CharTokenizer::decode(std::span<const Token> tokens, bool render_special) const {
  std::string out;
  for (const Token token : tokens) out += render_special ? spelling(token) : piece(token);
  return out;
}

}  // namespace troupe
