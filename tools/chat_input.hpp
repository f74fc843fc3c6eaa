#pragma once
// What a typed line means. Pure: no terminal, no model.

#include <string>
#include <string_view>
#include <utility>

namespace troupe::tools {

/// One complete input.
struct ChatInput {
  enum class Kind {
    nothing,  ///< an empty line, or the middle of a long message
    message,  ///< `text` goes to the model
    command,  ///< /name argument
  };
  Kind kind = Kind::nothing;
  std::string text;      ///< of a message
  std::string name;      ///< of a command, without its slash
  std::string argument;  ///< of a command, without the blanks around it
};

/// Puts lines together. A line that begins with """ opens a message of many lines, which a line that ends in
/// """ closes; what stands beside the quotes belongs to it. Outside of that a line that begins with a slash
/// is a command, and blank lines mean nothing.
class ChatInputReader {
 public:
  /// Takes one line, without its newline (a pasted one may hold newlines inside).
  ChatInput take(std::string_view line);

  bool in_message() const noexcept { return open_; }  ///< between the quotes
  void reset();                                       ///< forgets a message that has begun

 private:
  bool open_ = false;
  std::string text_;
};

/// A setting's value as typed: \n, \t and \\ stand for newline, tab and backslash; quotes around the whole
/// are taken off.
std::string unescaped_value(std::string_view text);

/// A file's name as typed: single or double quotes around the whole are taken off.
std::string without_quotes(std::string_view text);

/// The first word of `text`, and what follows it without the blanks between.
std::pair<std::string_view, std::string_view> split_word(std::string_view text);

}  // namespace troupe::tools
