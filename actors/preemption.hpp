#pragma once
// Which running requests have to make way for one that waits: they wait themselves then, and are replayed.
// Pure.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "troupe/generation.hpp"

namespace troupe {

/// A request that runs.
struct Runner {
  std::uint64_t id = 0;
  std::string_view client_key;
  Priority priority = Priority::normal;
  std::uint64_t seniority = 0;  ///< the larger, the later it was started first
  bool may_go = false;          ///< it has had served_min tokens since its start, or waits for its reader
  bool paused = false;          ///< it waits for its reader
};

/// Tokens that a request gets at least before its place is taken back: what they cost is about what a replay
/// costs, whose last tokens, less than a page of 32, are computed again.
constexpr std::size_t served_min = 16;

/// Whether it is enough when they make way.
using EnoughMakeWay = std::function<bool(const std::vector<std::uint64_t>& they)>;

/// The runners that make way for a request of this key and priority: so many that `enough(they)`; nullopt,
/// and all stay, if even the last who may go is not enough. Places are taken from keys that have at least two
/// more than this key, so each makes them more equal and none is worth taking back; from the one that has
/// most first, of its runners the youngest, and never from a higher priority. Asks for none if none is
/// needed.
std::optional<std::vector<std::uint64_t>> who_makes_way(std::string_view client_key, Priority priority,
                                                        const std::vector<Runner>& runners,
                                                        const EnoughMakeWay& enough);

/// The same for a request that was evicted before: so that an answer that has begun does not stand still for
/// the readers of others, runners that wait for theirs make way, the youngest first.
std::optional<std::vector<std::uint64_t>> who_makes_way_for_evicted(const std::vector<Runner>& runners,
                                                                    const EnoughMakeWay& enough);

/// The one of those that share a KV cache that makes way when they need more memory than there is: of those
/// that wait for their readers the youngest, without any the youngest of all. So the oldest that gets on
/// stays to its end. There must be one.
std::uint64_t who_is_evicted(const std::vector<Runner>& runners);

}  // namespace troupe
