#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "troupe/error.hpp"

namespace troupe::tools {

/// Cuts bytes that come piece by piece into prompts, one per line: "\n" or "\r\n" ends a line, the last line
/// may lack it, empty lines are counted and left out, a byte order mark at the beginning is taken off.
/// Everything else is kept as it is, also what is no UTF-8.
class PromptSplitter {
 public:
  void push(std::string_view bytes);
  void end() { ended_ = true; }  ///< nothing more comes: what is left is the last line

  /// The next prompt that is there whole.
  std::optional<std::string> take();

  bool ended() const noexcept { return ended_; }
  std::size_t empty_lines() const noexcept { return empty_lines_; }
  /// Bytes of a line that is not whole yet; only after take() has returned nothing.
  std::size_t unfinished_bytes() const noexcept { return buffer_.size() - begin_; }

 private:
  std::optional<std::string_view> next_line();

  std::string buffer_;
  std::size_t begin_ = 0;    // of what was not taken yet
  std::size_t scanned_ = 0;  // no end of a line before this
  std::size_t empty_lines_ = 0;
  bool first_ = true;
  bool ended_ = false;
};

/// A file of prompts, or standard input, read as its prompts are wanted. A stop request (signals.hpp) ends
/// waiting for them. Move-only, one user.
class PromptFile {
 public:
  /// "-" is standard input. Errors: io, naming the path.
  static Result<PromptFile> open(const std::string& path);
  ~PromptFile();
  PromptFile(PromptFile&& other) noexcept;
  PromptFile& operator=(PromptFile&&) = delete;

  /// The next prompt, waiting for it; nullopt at the end. Errors: io, cancelled, too_large (a line), and
  /// again at each call.
  Result<std::optional<std::string>> next();
  /// Whether next() would not wait.
  bool ready();

  const std::string& name() const noexcept { return name_; }  ///< as messages have it
  std::size_t empty_lines() const noexcept { return lines_.empty_lines(); }
  /// The share of the file that was read; nullopt where the size is not known.
  std::optional<double> share() const;

 private:
  PromptFile(int fd, std::string name);
  Status read_more();

  int fd_;
  std::string name_;
  PromptSplitter lines_;
  std::optional<std::string> next_;  // found by ready()
  std::optional<Error> error_;
  std::size_t bytes_read_ = 0;
  std::size_t file_bytes_ = 0;  // 0: not known
};

/// The most that read_text_file() and a line of prompts take: prompts and transcripts are what people write,
/// so a gigabyte is a mistake.
constexpr std::size_t text_file_bytes_max = 64U << 20U;

/// The bytes of a file, or of standard input for "-". Errors: io (naming the path), too_large, cancelled by a
/// stop request.
Result<std::string> read_text_file(const std::string& path);

}  // namespace troupe::tools
