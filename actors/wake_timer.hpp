#pragma once
// The one timer of an actor that has many things to wake up for. Pure: whoever owns it sends the message.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

namespace troupe {

/// Never sleeps long: a pending timer keeps an actor alive after its end, and with it the whole system.
class WakeTimer {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds wait_max{20};

  struct Tick {
    Clock::duration wait{};
    std::uint64_t number = 0;
  };

  /// The tick to send oneself in order to wake at `next`; nullopt when one is under way that comes in time.
  std::optional<Tick> arm(Clock::time_point next, Clock::time_point now) {
    const auto wake = std::clamp<Clock::time_point>(next, now, now + wait_max);
    if (armed_ && *armed_ <= wake) return std::nullopt;
    armed_ = wake;
    return Tick{wake - now, ++number_};
  }

  /// Whether the tick is the one that was armed last: others count no more.
  bool rings(std::uint64_t number) {
    if (number != number_) return false;
    armed_.reset();
    return true;
  }

 private:
  std::optional<Clock::time_point> armed_;
  std::uint64_t number_ = 0;
};

}  // namespace troupe
