#pragma once
// Ctrl-C, SIGTERM and friends as facts that loops ask about. Handlers only set flags and write to a pipe.

namespace troupe::tools {

/// What Ctrl-C does.
enum class InterruptUse {
  once,    ///< the first asks for an orderly end, the second kills
  always,  ///< each is only recorded: an interactive program that uses it to stop an answer
};

/// Makes writes that cannot be done fail with an error instead of ending the program: to a reader that has
/// gone away (EPIPE) and beyond the allowed size of a file (EFBIG).
void ignore_write_signals() noexcept;

/// Installs the handlers: SIGINT as said, SIGTERM and SIGHUP are recorded for terminated(); SIGWINCH and
/// SIGCONT (only with `always`) wake wake_fd(). Call once, before threads are started.
void install_signal_handlers(InterruptUse use);

/// Whether Ctrl-C was pressed since the last take_interrupt(). Any thread.
bool interrupted() noexcept;
bool take_interrupt() noexcept;

/// The SIGTERM or SIGHUP that asked the program to end; 0 if none did. Any thread.
int terminated() noexcept;

/// Whether Ctrl-C, SIGTERM or SIGHUP asks for an end of what is going on.
bool stop_requested() noexcept;

/// Whether the terminal changed its size, or the program was continued, since the last call.
bool take_resized() noexcept;
bool take_continued() noexcept;

/// While a line is edited the terminal must be put in order before the program is suspended:
/// catch_suspend(true) makes Ctrl-Z a fact for take_suspend(); suspend_self() does what it stands for and
/// returns when the program is continued.
void catch_suspend(bool on) noexcept;
bool take_suspend() noexcept;
void suspend_self() noexcept;

/// Readable when a signal has come since drain_wake(): for poll() beside other descriptors.
int wake_fd() noexcept;
void drain_wake() noexcept;

/// The exit status after a stop request: 128 + the signal's number, as shells have it.
int stop_exit_status() noexcept;

}  // namespace troupe::tools
