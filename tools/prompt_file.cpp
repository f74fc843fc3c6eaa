#include "tools/prompt_file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>
#include <utility>

#include "tools/signals.hpp"

namespace troupe::tools {
namespace {

Error io_error(const std::string& name) {
  return {errno == ECANCELED ? Errc::cancelled : Errc::io,
          "cannot read " + name + ": " + std::strerror(errno)};
}

bool is_standard_input(const std::string& path) {
  return path == "-";
}

std::string shown_name(const std::string& path) {
  return is_standard_input(path) ? "standard input" : "'" + path + "'";
}

/// Does not wait for the writer of a FIFO: read_some() does, which a stop request ends.
int open_file(const std::string& path) {
  return is_standard_input(path) ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

/// read() that waits also where the descriptor does not, and ends with ECANCELED at a stop request.
ssize_t read_some(int fd, std::span<char> chunk) {
  while (!stop_requested()) {
    pollfd waits[2] = {{fd, POLLIN, 0}, {wake_fd(), POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return -1;
    if (waits[1].revents != 0) drain_wake();
    if (waits[0].revents == 0) continue;
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got >= 0 || (errno != EINTR && errno != EAGAIN)) return got;
  }
  errno = ECANCELED;
  return -1;
}

}  // namespace

// ---- PromptSplitter --------------------------------------------------------------------------------------

void PromptSplitter::push(std::string_view bytes) {
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  buffer_ += bytes;
}

std::optional<std::string_view> PromptSplitter::next_line() {
  const std::size_t end = buffer_.find('\n', scanned_);
  if (end == std::string::npos && (!ended_ || begin_ == buffer_.size())) {
    scanned_ = buffer_.size();
    return std::nullopt;
  }
  std::string_view line = std::string_view(buffer_).substr(begin_, std::min(end, buffer_.size()) - begin_);
  begin_ = scanned_ = end == std::string::npos ? buffer_.size() : end + 1;
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (first_ && line.substr(0, byte_order_mark.size()) == byte_order_mark)
    line.remove_prefix(byte_order_mark.size());
  first_ = false;
  return line;
}

std::optional<std::string> PromptSplitter::take() {
  while (const auto line = next_line()) {
    if (!line->empty()) return std::string(*line);
    ++empty_lines_;
  }
  return std::nullopt;
}

// ---- PromptFile ------------------------------------------------------------------------------------------

Result<PromptFile> PromptFile::open(const std::string& path) {
  const int fd = open_file(path);
  if (fd == -1) return io_error(shown_name(path));
  return PromptFile(fd, shown_name(path));
}

PromptFile::PromptFile(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
  struct stat status {};
  if (::fstat(fd_, &status) == 0 && S_ISREG(status.st_mode))
    file_bytes_ = static_cast<std::size_t>(status.st_size);
}

PromptFile::PromptFile(PromptFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      name_(std::move(other.name_)),
      lines_(std::move(other.lines_)),
      next_(std::move(other.next_)),
      error_(std::move(other.error_)),
      bytes_read_(other.bytes_read_),
      file_bytes_(other.file_bytes_) {}

PromptFile::~PromptFile() {
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

Status PromptFile::read_more() {
  char chunk[65536];
  const ssize_t got = read_some(fd_, chunk);
  if (got < 0) return io_error(name_);
  if (got == 0) lines_.end();
  lines_.push({chunk, static_cast<std::size_t>(got)});
  bytes_read_ += static_cast<std::size_t>(got);
  return {};
}

Result<std::optional<std::string>> PromptFile::next() {
  while (!next_ && !error_) {
    next_ = lines_.take();
    if (next_ || lines_.ended()) break;
    if (lines_.unfinished_bytes() > text_file_bytes_max) {
      error_ =
          Error{Errc::too_large, "a line of " + name_ + " has more than " +
                                     std::to_string(text_file_bytes_max >> 20U) + " MiB; a prompt is a line"};
    } else if (Status status = read_more(); !status) {
      error_ = std::move(status).error();
    }
  }
  if (error_) return *error_;
  return std::exchange(next_, std::nullopt);
}

bool PromptFile::ready() {
  while (!next_ && !error_ && !lines_.ended()) {
    next_ = lines_.take();
    if (next_ || lines_.unfinished_bytes() > text_file_bytes_max) return true;
    pollfd input{fd_, POLLIN, 0};
    if (::poll(&input, 1, 0) <= 0) return false;
    if (Status status = read_more(); !status) error_ = std::move(status).error();
  }
  return true;
}

std::optional<double> PromptFile::share() const {
  if (file_bytes_ == 0) return std::nullopt;
  return static_cast<double>(bytes_read_) / static_cast<double>(file_bytes_);
}

// ----------------------------------------------------------------------------------------------------------

Result<std::string> read_text_file(const std::string& path) {
  const std::string name = shown_name(path);
  const int fd = open_file(path);
  if (fd == -1) return io_error(name);
  std::string text;
  Status status;
  while (true) {
    char chunk[65536];
    const ssize_t got = read_some(fd, chunk);
    if (got == 0) break;
    if (got < 0) {
      status = io_error(name);
      break;
    }
    text.append(chunk, static_cast<std::size_t>(got));
    if (text.size() > text_file_bytes_max) {
      status = Error{Errc::too_large, name + " has more than " + std::to_string(text_file_bytes_max >> 20U) +
                                          " MiB; split it into smaller files"};
      break;
    }
  }
  if (!is_standard_input(path)) ::close(fd);
  if (!status) return std::move(status).error();
  return text;
}

}  // namespace troupe::tools
