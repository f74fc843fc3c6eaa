#pragma once

#include <chrono>
#include <string>

namespace troupe::tools {

/// A progress bar on standard error; silent when that is no terminal, or one that cannot wipe a line. The
/// line is wiped when the object dies, so a finished bar leaves nothing behind. Used by one thread.
class ProgressBar {
 public:
  explicit ProgressBar(std::string label);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  /// Shows `share` of the whole, 0..1; redraws at most some ten times a second.
  void show(double share);
  /// The same with another label.
  void show(std::string label, double share);

  /// Wipes the line, e.g. before something else is written to the terminal.
  void wipe();

 private:
  std::string label_;
  bool enabled_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point redraw_at_;  // the epoch: the first one is drawn at once
};

}  // namespace troupe::tools
