#pragma once
// The one queue in front of the generators: what is admitted, what is refused, who is next. Pure: no actors,
// the time is passed in.

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
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

/// A queue bounded in requests and in tokens. Next is the highest priority; within it the client key that has
/// been served the fewest tokens; within a key the earliest deadline, then the order of arrival. So that a
/// steady stream of higher priorities starves nobody, every 8th request is taken from the lowest priority
/// that waits; for the same reason whoever pushes gives requests without a deadline a distant one.
///
/// Fairness between keys is start-time fair queueing (Goyal, Vin, Cheng, 1996) over tokens that are counted
/// as they are served (as Sheng et al., "Fairness in serving large language models", 2024): nobody knows
/// beforehand how long an answer gets, and a key is not to pay for what it asked for and did not get. A key
/// that comes, or comes back, starts where the others are: it neither has saved up a share nor owes one. One
/// owner; not thread-safe.
class AdmissionQueue {
 public:
  AdmissionQueue(std::uint32_t requests_max, std::uint64_t tokens_max)
      : requests_max_(requests_max), tokens_max_(tokens_max) {}

  /// Takes the request, or says no: the queue would exceed a bound.
  bool push(QueuedRequest request);

  /// The id that pop() would return; nullopt when empty. Stable until any other call that is not const.
  std::optional<std::uint64_t> peek() const;
  /// The request is served from now on: charge() what it costs, and leave() when it has ended.
  std::optional<std::uint64_t> pop();

  /// Takes a waiting request out (cancelled, expired). False when it is not waiting.
  bool erase(std::uint64_t id);

  /// The request, which pop() gave out, is not served any longer and waits again: in front of its key's
  /// others, by its `seniority` among those that came back like it (the lower first), but behind other keys
  /// as always. It counts like all that wait, so newcomers are refused the sooner, and is itself never
  /// refused.
  void put_back(QueuedRequest request, std::uint64_t seniority);

  /// A request of so many tokens, which pop() gave out, waits for something else than its turn: it counts
  /// like all that wait until it no longer does.
  void count_waiting(std::uint64_t tokens) noexcept;
  void count_no_longer(std::uint64_t tokens) noexcept;

  /// A request of this key that is being served has cost `tokens` more.
  void charge(Priority priority, const std::string& client_key, std::uint64_t tokens);
  /// It has ended.
  void leave(Priority priority, const std::string& client_key);

  /// Tokens that must leave before a request of `tokens` that was refused fits.
  std::uint64_t tokens_before(std::uint64_t tokens) const noexcept;

  /// Whether nothing at all can be pushed.
  bool full() const noexcept { return requests() >= requests_max_ || tokens_ >= tokens_max_; }

  std::size_t requests() const noexcept { return where_.size() + elsewhere_; }
  std::uint64_t tokens() const noexcept { return tokens_; }

 private:
  struct Order {
    std::chrono::steady_clock::time_point deadline;
    std::uint64_t arrival;
    auto operator<=>(const Order&) const = default;
  };
  struct Entry {
    std::uint64_t id;
    std::uint64_t tokens;
  };
  struct Key {
    std::map<Order, Entry> waiting;
    double served = 0;        // tokens, on the class's virtual clock
    std::uint64_t since = 0;  // when it began to wait
    std::uint32_t being_served = 0;
  };
  /// A tree: places hold iterators, which a hash table's growing makes invalid.
  using Keys = std::map<std::string, Key>;
  struct Turn {  // of a key that waits
    double served;
    std::uint64_t since;
    Key* key;
    bool operator<(const Turn& other) const {
      return std::tie(served, since) < std::tie(other.served, other.since);
    }
  };
  struct Class {  // one priority
    Keys keys;    // that wait or are being served
    std::set<Turn> turns;
    double clock = 0;  // where the key stood that was taken last: none that waits stands before it
    // Where a key that comes starts. It also goes on with each key's fair part of what is served: else those
    // who wait would wait for ever behind a stream of keys that come once each.
    double fair_clock = 0;
  };
  struct Place {
    Priority priority;
    Keys::iterator key;
    Order order;
  };

  const Class* next_class() const;
  Class& class_of(Priority priority) { return classes_[static_cast<std::size_t>(priority)]; }
  static Turn turn_of(Key& key) { return {key.served, key.since, &key}; }
  void wait(Keys::iterator key, const QueuedRequest& request, const Order& order);
  void take_out(std::unordered_map<std::uint64_t, Place>::iterator place);
  static void forget_if_idle(Class& c, Keys::iterator key);

  std::uint32_t requests_max_;
  std::uint64_t tokens_max_;
  std::uint64_t tokens_ = 0;
  std::size_t elsewhere_ = 0;  // requests that wait for something else
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
