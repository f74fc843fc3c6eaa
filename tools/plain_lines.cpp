#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/line_source.hpp"
#include "tools/prompt_file.hpp"
#include "tools/signals.hpp"

namespace troupe::tools {
namespace {

class PlainLines final : public LineSource {
 public:
  ReadLine read(const std::string&) override {
    while (true) {
      if (const std::size_t end = buffer_.find('\n', searched_); end != std::string::npos)
        return take(end, end + 1);
      searched_ = buffer_.size();
      if (at_end_) {
        if (buffer_.empty()) return {ReadLine::Kind::end, {}};
        return take(buffer_.size(), buffer_.size());
      }
      if (buffer_.size() > text_file_bytes_max) {
        return {ReadLine::Kind::failed,
                "a line of the input has more than " + std::to_string(text_file_bytes_max >> 20U) + " MiB"};
      }
      if (terminated() != 0) return {ReadLine::Kind::terminated, {}};
      if (interrupted()) return {ReadLine::Kind::interrupted, buffer_};
      if (!fill())
        return {ReadLine::Kind::failed, std::string("cannot read standard input: ") + std::strerror(errno)};
    }
  }

  void remember(const std::string&) override {}
  void attend() override {}

 private:
  ReadLine take(std::size_t length, std::size_t consumed) {
    ReadLine line{ReadLine::Kind::line, buffer_.substr(0, length)};
    if (!line.text.empty() && line.text.back() == '\r') line.text.pop_back();
    buffer_.erase(0, consumed);
    searched_ = 0;
    return line;
  }

  // Waits for input or a signal, and takes what is there. False on an error.
  bool fill() {
    pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {wake_fd(), POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0) return errno == EINTR;
    if (waits[1].revents != 0) drain_wake();
    if (waits[0].revents == 0) return true;
    char chunk[65536];
    const ssize_t got = ::read(STDIN_FILENO, chunk, sizeof chunk);
    if (got < 0) return errno == EINTR || errno == EAGAIN;
    if (got == 0) at_end_ = true;
    buffer_.append(chunk, static_cast<std::size_t>(got));
    return true;
  }

  std::string buffer_;
  std::size_t searched_ = 0;  // the newline is not before this
  bool at_end_ = false;
};

}  // namespace

std::unique_ptr<LineSource> make_plain_lines() {
  return std::make_unique<PlainLines>();
}

}  // namespace troupe::tools
