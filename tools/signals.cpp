#include "tools/signals.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>

namespace troupe::tools {
namespace {

// Lock-free atomics are the only shared state that a signal handler may touch.
std::atomic<bool> interrupt_flag{false};
std::atomic<int> terminate_signal{0};
std::atomic<bool> resized_flag{false};
std::atomic<bool> continued_flag{false};
std::atomic<bool> suspend_flag{false};
std::atomic<bool> second_interrupt_kills{false};
int wake_pipe[2] = {-1, -1};

void wake() {
  const char byte = 0;
  [[maybe_unused]] const auto ignored = ::write(wake_pipe[1], &byte, 1);  // a full pipe wakes as well
}

void on_signal(int number) {
  const int saved_errno = errno;
  switch (number) {
    case SIGINT:
      if (interrupt_flag.exchange(true) && second_interrupt_kills) {
        std::signal(SIGINT, SIG_DFL);
        std::raise(SIGINT);
      }
      break;
    case SIGTERM:
    case SIGHUP: terminate_signal = number; break;
    case SIGWINCH: resized_flag = true; break;
    case SIGCONT: continued_flag = true; break;
    case SIGTSTP: suspend_flag = true; break;
    default: break;
  }
  wake();
  errno = saved_errno;
}

void install(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = handler == on_signal ? SA_RESTART : 0;  // waiting loops poll wake_fd() instead of EINTR
  sigemptyset(&action.sa_mask);
  ::sigaction(number, &action, nullptr);
}

bool is_ignored(int number) {
  struct sigaction action {};
  return ::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

void ignore_write_signals() noexcept {
  install(SIGPIPE, SIG_IGN);
  install(SIGXFSZ, SIG_IGN);
}

void install_signal_handlers(InterruptUse use) {
  if (wake_pipe[0] == -1 && ::pipe2(wake_pipe, O_NONBLOCK | O_CLOEXEC) != 0) wake_pipe[0] = wake_pipe[1] = -1;
  second_interrupt_kills = use == InterruptUse::once;
  // What whoever started this program has it ignore stays ignored: nohup, and Ctrl-C behind a shell's &. At a
  // prompt Ctrl-C is a key like others.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    if (!is_ignored(number) || (number == SIGINT && use == InterruptUse::always)) install(number, on_signal);
  }
  if (use == InterruptUse::always) {
    install(SIGWINCH, on_signal);
    install(SIGCONT, on_signal);
  }
}

bool interrupted() noexcept {
  return interrupt_flag;
}
bool take_interrupt() noexcept {
  return interrupt_flag.exchange(false);
}
int terminated() noexcept {
  return terminate_signal;
}
bool stop_requested() noexcept {
  return interrupt_flag || terminate_signal != 0;
}
bool take_resized() noexcept {
  return resized_flag.exchange(false);
}
bool take_continued() noexcept {
  return continued_flag.exchange(false);
}

void catch_suspend(bool on) noexcept {
  install(SIGTSTP, on ? on_signal : SIG_DFL);
}
bool take_suspend() noexcept {
  return suspend_flag.exchange(false);
}

void suspend_self() noexcept {
  install(SIGTSTP, SIG_DFL);
  std::raise(SIGTSTP);
  install(SIGTSTP, on_signal);
}

int wake_fd() noexcept {
  return wake_pipe[0];
}

void drain_wake() noexcept {
  char bytes[64];
  while (::read(wake_pipe[0], bytes, sizeof bytes) > 0) {
  }
}

int stop_exit_status() noexcept {
  return 128 + (terminate_signal != 0 ? terminate_signal.load() : SIGINT);
}

}  // namespace troupe::tools
