#include "tools/terminal.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace troupe::tools {
namespace {

// Writes all of `bytes`; 0 or the errno that stopped it. Waits also where the descriptor does not: whoever
// shares a pipe or a terminal with us, such as an event loop, may have made it non-blocking.
int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd out{fd, POLLOUT, 0};
      if (::poll(&out, 1, -1) < 0 && errno != EINTR) return errno;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

}  // namespace

bool is_terminal(int fd) noexcept {
  return ::isatty(fd) == 1;
}

std::size_t terminal_columns(int fd) noexcept {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

bool terminal_knows_sequences() noexcept {
  const char* type = std::getenv("TERM");
  return type != nullptr && type[0] != '\0' && std::strcmp(type, "dumb") != 0;
}

void hold_standard_descriptors() noexcept {
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // The lowest free number is `fd`. Opened for the wrong direction, so that use still fails.
    const int opened = ::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    if (opened != fd && opened != -1) ::close(opened);
  }
}

Output::Output(int fd) : fd_(fd), on_terminal_(is_terminal(fd)) {}

bool Output::raw(std::string_view bytes) {
  if (state_ != State::open) return false;
  const int error = write_all(fd_, bytes);
  if (error == 0) return true;
  state_ = error == EPIPE ? State::reader_gone : State::failed;
  errno_ = error;
  return false;
}

bool Output::text(std::string_view chunk) {
  return raw(on_terminal_ ? filter_.push(chunk) : std::string(chunk));
}

bool Output::end_text() {
  return raw(filter_.finish());
}

bool Output::check_reader() noexcept {
  if (state_ != State::open) return false;
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !(S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode))) return true;
  pollfd out{fd_, 0, 0};  // errors and hang-ups are reported without being asked for
  if (::poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0) state_ = State::reader_gone;
  return state_ == State::open;
}

std::string Output::failure() const {
  if (state_ != State::failed) return {};
  return std::string("cannot write to standard output: ") + std::strerror(errno_);
}

void complain(std::string_view message) {
  say("troupe: " + std::string(message) + "\n");
}

void say(std::string_view text) {
  static_cast<void>(write_all(2, visible(text)));
}

}  // namespace troupe::tools
