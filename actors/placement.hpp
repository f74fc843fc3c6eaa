#pragma once
// On which batcher a request runs, and what runs on each. Pure: no actors.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "actors/page_ledger.hpp"
#include "troupe/options.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// Names one of the engine's batchers, counted from 0. A batcher that dies is replaced by another of the same
/// number.
using ReplicaIndex = std::uint32_t;

/// What a running request holds of a replica.
struct Berth {
  std::uint64_t request = 0;
  ReplicaIndex replica = 0;
  std::size_t promised = 0;  ///< positions of its KV cache, from the start on
  std::uint64_t tokens = 0;  ///< of prompt and answer that may still have to be computed
};

/// A replica that has room for a request.
struct Candidate {
  ReplicaIndex replica = 0;
  std::uint64_t tokens = 0;  ///< that may still have to be computed for what runs there
};

/// What a request will have computed before its next token: its prompt, and what it has answered so far.
struct Text {
  std::span<const Token> prompt;
  std::span<const Token> answer;
};

/// Chooses between replicas. One owner. Candidates are never none, and in the order of their numbers.
class RoutingPolicy {
 public:
  virtual ~RoutingPolicy() = default;
  virtual ReplicaIndex choose(std::span<const Candidate> candidates, const Text& text) = 0;
  /// Its KV cache has, or is about to have, all of `text`.
  virtual void computes(ReplicaIndex /*replica*/, const Text& /*text*/) {}
  /// Its KV cache is empty.
  virtual void emptied(ReplicaIndex /*replica*/) {}
};

/// `pages_max`: of each replica's KV cache.
std::unique_ptr<RoutingPolicy> make_routing_policy(Routing routing, std::size_t replicas,
                                                   std::size_t pages_max);

/// Gives out berths. One owner, the router.
class Placement {
 public:
  /// `pages_max`: of each replica's KV cache; `overcommit`: see page_ledger.hpp.
  Placement(Routing routing, std::size_t replicas, std::size_t pages_max, bool overcommit)
      : policy_(make_routing_policy(routing, replicas, pages_max)),
        loads_(replicas, Load{PageLedger(pages_max, overcommit)}) {}

  /// A berth for a request, on one of the replicas that are `up`; nullopt when none of them has the pages.
  std::optional<Berth> take(std::span<const ReplicaIndex> up, std::uint64_t request, const Text& text,
                            const KvNeed& need);
  /// Whether take() would find one if the requests that are `gone` had given theirs back.
  bool has_room(std::span<const ReplicaIndex> up, const KvNeed& need,
                std::span<const std::uint64_t> gone) const;
  /// The request got a token more; of its tokens, `left` may still have to be computed.
  void got_token(Berth& berth, std::uint64_t left);
  void give_back(const Berth& berth);

  /// A replica whose requests need more pages than it has: one of them has to give its berth back.
  std::optional<ReplicaIndex> overdrawn() const;
  /// All of `text` is in the KV cache of the berth's replica.
  void computed(const Berth& berth, const Text& text) { policy_->computes(berth.replica, text); }
  /// The replica has another batcher, whose KV cache is empty.
  void emptied(ReplicaIndex replica) { policy_->emptied(replica); }

  /// Requests that run there.
  std::size_t running(ReplicaIndex replica) const { return loads_[replica].requests; }

 private:
  struct Load {
    PageLedger pages;
    std::size_t requests = 0;
    std::uint64_t tokens = 0;
  };

  std::unique_ptr<RoutingPolicy> policy_;
  std::vector<Load> loads_;  // by replica
};

}  // namespace troupe
