#include "tools/chat_input.hpp"

#include <algorithm>

namespace troupe::tools {
namespace {

constexpr std::string_view quotes = "\"\"\"";
constexpr std::string_view blanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

bool ends_in_quotes(std::string_view text) {
  return text.size() >= quotes.size() && text.substr(text.size() - quotes.size()) == quotes;
}

}  // namespace

ChatInput ChatInputReader::take(std::string_view line) {
  ChatInput input;
  if (!open_) {
    if (trimmed(line).empty()) return input;
    if (line.front() == '/') {
      const auto [name, argument] = split_word(line.substr(1));
      input.kind = ChatInput::Kind::command;
      input.name = name;
      input.argument = argument;
      return input;
    }
    if (line.substr(0, quotes.size()) != quotes) {
      input.kind = ChatInput::Kind::message;
      input.text = line;
      return input;
    }
    line.remove_prefix(quotes.size());
    open_ = true;
    text_.clear();
  } else {
    text_ += '\n';
  }
  const std::string_view without_blanks = line.substr(0, line.find_last_not_of(blanks) + 1);
  if (!ends_in_quotes(without_blanks)) {
    text_ += line;
    return input;
  }
  text_ += without_blanks.substr(0, without_blanks.size() - quotes.size());
  // Quotes on lines of their own add no empty lines.
  if (!text_.empty() && text_.front() == '\n') text_.erase(0, 1);
  if (!text_.empty() && text_.back() == '\n') text_.pop_back();
  open_ = false;
  if (text_.empty()) return input;
  input.kind = ChatInput::Kind::message;
  input.text = std::move(text_);
  text_.clear();
  return input;
}

void ChatInputReader::reset() {
  open_ = false;
  text_.clear();
}

std::string without_quotes(std::string_view text) {
  const bool quoted =
      text.size() >= 2 && text.front() == text.back() && (text.front() == '"' || text.front() == '\'');
  return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

std::string unescaped_value(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == 'n' || next == 't' || next == '\\') {
      out += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::pair<std::string_view, std::string_view> split_word(std::string_view text) {
  text = trimmed(text);
  const std::size_t end = std::min(text.find_first_of(blanks), text.size());
  return {text.substr(0, end), trimmed(text.substr(end))};
}

}  // namespace troupe::tools
