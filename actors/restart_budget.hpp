#pragma once
// How often, and how soon, something that died may be started again. Pure: the time is passed in.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>

namespace troupe {

/// At most `restarts_max` restarts within any window. The pause before each is `backoff`, doubled for every
/// restart that the window holds already, but never so long that restarts_max of them would not fit into it:
/// then the budget could never be used up. A budget that is meant not to be still pauses a millisecond.
class RestartBudget {
 public:
  using Clock = std::chrono::steady_clock;

  RestartBudget(std::uint32_t restarts_max, std::chrono::milliseconds window,
                std::chrono::milliseconds backoff)
      : restarts_max_(restarts_max), window_(window), backoff_(backoff) {}

  /// Counts a restart at `now`. The pause to make first, or nullopt when the budget is used up.
  std::optional<std::chrono::milliseconds> spend(Clock::time_point now) {
    while (!recent_.empty() && now - recent_.front() >= window_) recent_.pop_front();
    if (recent_.size() >= restarts_max_) return std::nullopt;
    recent_.push_back(now);
    const auto doubled = backoff_ * (std::int64_t{1} << std::min<std::size_t>(recent_.size() - 1, 6));
    const std::chrono::milliseconds share = window_ / (std::int64_t{restarts_max_} + 1);
    return std::min<std::chrono::milliseconds>(doubled, std::max(share, std::chrono::milliseconds(1)));
  }

 private:
  std::uint32_t restarts_max_;
  std::chrono::milliseconds window_;
  std::chrono::milliseconds backoff_;
  std::deque<Clock::time_point> recent_;  // at most restarts_max_
};

}  // namespace troupe
