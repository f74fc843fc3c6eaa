#pragma once
// Where chat gets its lines: an editor on a terminal, or a pipe.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace troupe::tools {

/// What reading a line came to.
struct ReadLine {
  enum class Kind : std::uint8_t {
    line,
    interrupted,  ///< Ctrl-C; `text` is what had been typed
    end,          ///< end of the input, or Ctrl-D on an empty line
    terminated,   ///< SIGTERM or SIGHUP
    failed,       ///< `text` says why
  };
  Kind kind = Kind::end;
  std::string text;  ///< without the newline at its end
};

/// Used by one thread.
class LineSource {
 public:
  virtual ~LineSource() = default;
  virtual ReadLine read(const std::string& prompt) = 0;
  /// Offers the line again on the arrow keys, in this session and the next.
  virtual void remember(const std::string& line) = 0;
  /// To be called now and then while nothing is read: does what Ctrl-Z asks for.
  virtual void attend() = 0;
};

/// Lines of standard input, which is not a terminal; no prompts. "\r\n" counts as "\n". A line longer than
/// text_file_bytes_max fails.
std::unique_ptr<LineSource> make_plain_lines();

/// An editor on standard input and the terminal on descriptor `ui_fd` (1 or 2), with history in
/// `history_file` (empty: only in memory) and completion of `words` at the beginning of a line.
std::unique_ptr<LineSource> make_line_editor(int ui_fd, const std::string& history_file,
                                             std::vector<std::string> words);

}  // namespace troupe::tools
