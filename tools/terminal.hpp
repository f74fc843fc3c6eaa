#pragma once
// What is known about the terminal, and the two ways out of the program: results to standard output,
// everything else to standard error.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/visible_text.hpp"

namespace troupe::tools {

/// Whether the file descriptor is a terminal.
bool is_terminal(int fd) noexcept;

/// Columns of the terminal on `fd`; 80 when it is none or does not say.
std::size_t terminal_columns(int fd) noexcept;

/// Whether a terminal, by $TERM, may be sent sequences that it would show if it did not know them.
bool terminal_knows_sequences() noexcept;

/// Opens what is closed of the descriptors 0, 1 and 2, so that no file of ours lands there: call it first in
/// main(). Writing to a standard output that was closed still fails, with EBADF.
void hold_standard_descriptors() noexcept;

/// Standard output, written without a buffer of ours so that every token is there at once. A reader that has
/// gone away (EPIPE) is not an error: the rest is dropped and reader_gone() says so. Any other failure is
/// remembered for failure(). Used by one thread.
class Output {
 public:
  explicit Output(int fd = 1);

  bool on_terminal() const noexcept { return on_terminal_; }

  /// Writes text that a model or a file may have shaped; on a terminal its control characters are made
  /// visible. False when nothing more can be written.
  bool text(std::string_view chunk);

  /// Ends such a text: writes what was held back of an incomplete character.
  bool end_text();

  /// Writes bytes as they are.
  bool raw(std::string_view bytes);

  bool ok() const noexcept { return state_ == State::open; }
  bool reader_gone() const noexcept { return state_ == State::reader_gone; }

  /// Asks whether the other end of a pipe or socket is still there, so that work whose output nobody reads
  /// can end before its next write. Afterwards as ok(). Cheap enough for some ten times a second.
  bool check_reader() noexcept;

  /// Why writing failed, as a sentence; empty when it did not.
  std::string failure() const;

 private:
  enum class State : std::uint8_t { open, reader_gone, failed };
  int fd_;
  bool on_terminal_;
  State state_ = State::open;
  int errno_ = 0;
  VisibleText filter_;
};

/// "troupe: MESSAGE" on standard error, with control characters made visible. Any thread.
void complain(std::string_view message);

/// `text` as it is on standard error, with control characters made visible; no prefix, no newline added.
void say(std::string_view text);

}  // namespace troupe::tools
