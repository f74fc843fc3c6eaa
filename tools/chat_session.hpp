#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/chat_input.hpp"
#include "tools/conversation.hpp"
#include "tools/line_source.hpp"
#include "tools/terminal.hpp"
#include "troupe/engine.hpp"

namespace troupe::tools {

/// One conversation with one model: reads inputs, answers them, carries out commands. Answers go to standard
/// output; what the program itself says goes to the user's terminal, or to standard error in a pipe.
/// Owned and used by one thread; the engine and the lines must outlive it.
class ChatSession {
 public:
  struct Options {
    GenerationOptions generation;  ///< answer number i, from 0, uses sampling.seed + i
    std::string system;
    bool interactive = false;
    int ui_fd = 2;       ///< the terminal of an interactive session
    bool stats = false;  ///< a line of statistics after each answer
  };

  ChatSession(Engine& engine, LineSource& lines, Options options);

  /// Until the input ends or the user leaves. The exit status.
  int run();

 private:
  // chat_session.cpp
  void take(const ChatInput& input);
  void converse(const std::string& text);
  std::optional<Generation> answer();
  void after_answer(const Generation& answer);
  void note(std::string_view text);     // information, laid out already; without a newline at the end
  void remark(std::string_view text);   // sentences, wrapped for the terminal
  void problem(std::string_view text);  // something did not work
  std::size_t columns() const;

  // chat_commands.cpp
  void command(const std::string& name, const std::string& argument);
  void help();
  void set(const std::string& argument);
  void show();
  void system(const std::string& argument);
  void clear();
  void regenerate();
  void save(const std::string& path);
  void load(const std::string& path);
  void stats();
  void tokens(const std::string& text);

  Engine& engine_;
  LineSource& lines_;
  Options options_;
  Output output_;
  Conversation conversation_;
  std::optional<Generation> last_;
  std::uint64_t answers_ = 0;  // begun in this session
  bool quit_ = false;
  bool failed_ = false;
};

/// The commands with their slashes, for completion.
std::vector<std::string> chat_command_words();

}  // namespace troupe::tools
