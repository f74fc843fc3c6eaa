#include "tools/progress_bar.hpp"

#include <unistd.h>

#include <string_view>
#include <utility>

#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

constexpr auto redraw_interval = std::chrono::milliseconds(80);

// To the terminal, which is known to be one; a failure has nowhere to be told.
void draw(std::string_view bytes) {
  [[maybe_unused]] const auto ignored = ::write(STDERR_FILENO, bytes.data(), bytes.size());
}

}  // namespace

ProgressBar::ProgressBar(std::string label)
    : label_(std::move(label)), enabled_(is_terminal(STDERR_FILENO) && terminal_knows_sequences()) {}

ProgressBar::~ProgressBar() {
  wipe();
}

void ProgressBar::show(double share) {
  if (!enabled_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < redraw_at_) return;
  redraw_at_ = now + redraw_interval;
  // The last column stays free: writing there wraps on some terminals.
  const std::size_t columns = terminal_columns(STDERR_FILENO) - 1;
  std::string line(1, '\r');
  line += progress_line(label_, share, columns);
  line += "\x1b[K";  // wipes what a longer line left behind
  draw(line);
  drawn_ = true;
}

void ProgressBar::show(std::string label, double share) {
  label_ = std::move(label);
  show(share);
}

void ProgressBar::wipe() {
  if (drawn_) draw("\r\x1b[K");
  drawn_ = false;
  redraw_at_ = {};
}

}  // namespace troupe::tools
