#pragma once
// When the reader of a stream reports what it has taken, so that its generator may go on.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace troupe {

/// In halves of the window: few messages, and the generator is not kept waiting for them. But a slow reader
/// is to be seen reading: it reports at least each eighth of reader_stall_ms_max in which it takes anything.
/// One owner.
class ReaderCredit {
 public:
  using Clock = std::chrono::steady_clock;

  ReaderCredit() = default;
  ReaderCredit(std::uint32_t window_tokens, std::uint32_t reader_stall_ms_max)
      : step_(std::max<std::uint32_t>(1, window_tokens / 2)),
        interval_(reader_stall_ms_max == 0
                      ? Clock::duration::max()
                      : Clock::duration(std::chrono::milliseconds(reader_stall_ms_max)) / 8) {}

  /// Another token was taken: the tokens to report now, 0 for none.
  std::uint32_t take(Clock::time_point now = Clock::now()) {
    if (++unreported_ < step_ && now - reported_ < interval_) return 0;
    reported_ = now;
    return std::exchange(unreported_, 0);
  }

 private:
  std::uint32_t step_ = 1;
  Clock::duration interval_ = Clock::duration::max();
  std::uint32_t unreported_ = 0;
  Clock::time_point reported_ = Clock::now();
};

}  // namespace troupe
