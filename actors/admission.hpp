#pragma once
// The one queue in front of the generators: what is admitted, what is refused, who is next. Pure: no actors,
// the time is passed in.

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "troupe/generation.hpp"

namespace troupe {

/// A request as the queue sees it.
struct QueuedRequest {
  std::uint64_t id = 0;
  std::uint64_t tokens = 0;  ///< that it may cost: prompt + max_tokens
  Priority priority = Priority::normal;
  std::string client_key;
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

/// A queue bounded in requests and in tokens. Next is the highest priority; within it, client keys take turns
/// by deficit round robin over tokens (Shreedhar and Varghese, 1995), so a key with many or long requests
/// gets no more than its share; within a key the earliest deadline first, then the order of arrival. So that
/// a steady stream of higher priorities starves nobody, every 8th request is taken from the lowest priority
/// that waits; for the same reason whoever pushes gives requests without a deadline a distant one.
/// One owner; not thread-safe.
class AdmissionQueue {
 public:
  AdmissionQueue(std::uint32_t requests_max, std::uint64_t tokens_max)
      : requests_max_(requests_max), tokens_max_(tokens_max) {}

  /// Takes the request, or says no: the queue would exceed a bound.
  bool push(QueuedRequest request);

  /// The id that pop() would return; nullopt when empty. Stable until push, pop or erase.
  std::optional<std::uint64_t> peek();
  std::optional<std::uint64_t> pop();

  /// Takes a waiting request out (cancelled, expired). False when it is not waiting.
  bool erase(std::uint64_t id);

  /// Tokens that must leave before a request of `tokens` that was refused fits.
  std::uint64_t tokens_before(std::uint64_t tokens) const noexcept;

  std::size_t requests() const noexcept { return where_.size(); }
  std::uint64_t tokens() const noexcept { return tokens_; }

 private:
  using Key = std::string;
  struct Order {
    std::chrono::steady_clock::time_point deadline;
    std::uint64_t arrival;
    auto operator<=>(const Order&) const = default;
  };
  struct Entry {
    std::uint64_t id;
    std::uint64_t tokens;
  };
  struct KeyQueue {
    std::map<Order, Entry> waiting;
    std::uint64_t deficit = 0;
  };
  struct Class {  // one priority
    std::unordered_map<Key, KeyQueue> keys;
    std::deque<Key> turns;  // keys that have something waiting, the front one's turn
  };
  struct Place {
    Priority priority;
    Key key;
    Order order;
  };

  Class* next_class();
  KeyQueue& next_key(Class& c);

  std::uint32_t requests_max_;
  std::uint64_t tokens_max_;
  std::uint64_t tokens_ = 0;
  std::uint64_t arrivals_ = 0;
  std::uint64_t popped_ = 0;
  std::array<Class, 3> classes_;
  std::unordered_map<std::uint64_t, Place> where_;
};

/// Measures how fast tokens drain, to tell refused clients when to come back. One owner.
class DrainRate {
 public:
  using Clock = std::chrono::steady_clock;

  /// Work begins after there was none: idle time is not draining.
  void begin_work(Clock::time_point now) { last_ = now; }
  /// Counts tokens of a request that has ended.
  void add(std::uint64_t tokens, Clock::time_point now);

  /// When `tokens` will have drained, between 50 ms and 60 s; 1 s before anything is known.
  std::chrono::milliseconds time_for(std::uint64_t tokens) const;

 private:
  double tokens_per_s_ = 0;
  std::uint64_t pending_ = 0;  // tokens since the rate was last reckoned
  double busy_s_ = 0;          // time of work in which they drained
  Clock::time_point last_{};
};

}  // namespace troupe
