#pragma once
// On which batcher a request runs, and what runs on each. Pure: no actors.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace troupe {

/// Names one of the engine's batchers, counted from 0. A batcher that dies is replaced by another of the same
/// number.
using ReplicaIndex = std::uint32_t;

/// What a running request holds of a replica.
struct Berth {
  ReplicaIndex replica = 0;
  std::size_t pages = 0;     ///< of its KV cache, reserved
  std::uint64_t tokens = 0;  ///< of prompt and answer that may still have to be computed
};

/// A replica that has room for a request.
struct Candidate {
  ReplicaIndex replica = 0;
  std::uint64_t tokens = 0;  ///< that may still have to be computed for what runs there
};

/// The one with the fewest tokens; of equals the first, so that what comes one by one stays where its
/// predecessors' prefixes are kept. `candidates` is not empty.
ReplicaIndex least_loaded(std::span<const Candidate> candidates);

/// Gives out berths. One owner, the router.
class Placement {
 public:
  /// `pages_max`: of each replica's KV cache.
  Placement(std::size_t replicas, std::size_t pages_max) : loads_(replicas), pages_max_(pages_max) {}

  /// A berth for a request that may take so many pages and tokens, on one of the replicas that are `up`;
  /// nullopt when none of them has the pages.
  std::optional<Berth> take(std::span<const ReplicaIndex> up, std::size_t pages, std::uint64_t tokens);
  /// Whether take() would find one if those that are `gone` were given back.
  bool has_room(std::span<const ReplicaIndex> up, std::size_t pages, std::span<const Berth> gone) const;
  /// Of the request's tokens, `tokens` may still have to be computed.
  void still_open(Berth& berth, std::uint64_t tokens);
  void give_back(const Berth& berth);

 private:
  struct Load {
    std::size_t pages = 0;
    std::uint64_t tokens = 0;
  };

  std::vector<Load> loads_;  // by replica
  std::size_t pages_max_;
};

}  // namespace troupe
