#include <xxhash.h>

#include <algorithm>
#include <list>
#include <unordered_map>

#include "actors/placement.hpp"
#include "base/check.hpp"
#include "kernels/attention.hpp"

namespace troupe {
namespace {

/// Of equals the first, so that what comes one by one stays where its predecessors' prefixes are kept.
ReplicaIndex fewest_tokens(std::span<const Candidate> candidates) {
  const auto fewer = [](const Candidate& a, const Candidate& b) { return a.tokens < b.tokens; };
  return std::min_element(candidates.begin(), candidates.end(), fewer)->replica;
}

class LeastLoaded final : public RoutingPolicy {
 public:
  ReplicaIndex choose(std::span<const Candidate> candidates, const Text&) override {
    return fewest_tokens(candidates);
  }
};

/// The next in turn that is a candidate.
class RoundRobin final : public RoutingPolicy {
 public:
  ReplicaIndex choose(std::span<const Candidate> candidates, const Text&) override {
    const auto due = [this](const Candidate& c) { return c.replica >= next_; };
    const auto found = std::find_if(candidates.begin(), candidates.end(), due);
    const ReplicaIndex chosen = (found == candidates.end() ? candidates.begin() : found)->replica;
    next_ = chosen + 1;
    return chosen;
  }

 private:
  ReplicaIndex next_ = 0;
};

/// A beginning of a text that is whole pages long, as a number: equal beginnings have equal ones. That others
/// may have the same costs a detour at worst.
using PrefixHash = std::uint64_t;

/// Of all beginnings of the text, the shortest first.
std::vector<PrefixHash> prefixes_of(const Text& text) {
  std::vector<Token> tokens(text.prompt.begin(), text.prompt.end());
  tokens.insert(tokens.end(), text.answer.begin(), text.answer.end());
  std::vector<PrefixHash> prefixes(tokens.size() / page_tokens);
  PrefixHash hash = 0;
  for (std::size_t page = 0; page < prefixes.size(); ++page) {
    hash = XXH3_64bits_withSeed(tokens.data() + page * page_tokens, page_tokens * sizeof(Token), hash);
    prefixes[page] = hash;
  }
  return prefixes;
}

/// The beginnings that one replica was given lately: as many as its cache has pages, since it can keep no
/// more, but no more than would take some megabytes here.
class PrefixMemory {
 public:
  explicit PrefixMemory(std::size_t pages_max) : prefixes_max_(std::min<std::size_t>(pages_max, 1U << 16)) {}

  /// How many of them, one behind the other.
  std::size_t known(std::span<const PrefixHash> prefixes) const {
    const auto unknown = [this](PrefixHash hash) { return where_.count(hash) == 0; };
    return static_cast<std::size_t>(std::find_if(prefixes.begin(), prefixes.end(), unknown) -
                                    prefixes.begin());
  }

  void note(std::span<const PrefixHash> prefixes) {
    // From the end, so that of one text the end is forgotten first.
    for (auto hash = prefixes.rbegin(); hash != prefixes.rend(); ++hash) {
      const auto [known, fresh] = where_.try_emplace(*hash);
      if (!fresh) newest_first_.erase(known->second);
      newest_first_.push_front(*hash);
      known->second = newest_first_.begin();
    }
    while (newest_first_.size() > prefixes_max_) {
      where_.erase(newest_first_.back());
      newest_first_.pop_back();
    }
  }

  void clear() {
    where_.clear();
    newest_first_.clear();
  }

 private:
  std::size_t prefixes_max_;
  std::list<PrefixHash> newest_first_;
  std::unordered_map<PrefixHash, std::list<PrefixHash>::iterator> where_;
};

/// The one where the fewest tokens are to be computed, the request's own included, of which those are left
/// out that the replica was given lately. So without a known beginning it is the least loaded one, and a
/// beginning draws a request as long as the replica's lead in work is smaller than what it saves.
class PrefixAffinity final : public RoutingPolicy {
 public:
  PrefixAffinity(std::size_t replicas, std::size_t pages_max)
      : memories_(replicas, PrefixMemory(pages_max)) {}

  ReplicaIndex choose(std::span<const Candidate> candidates, const Text& text) override {
    const auto prefixes = prefixes_of(text);
    const std::uint64_t own = text.prompt.size() + text.answer.size();
    std::vector<Candidate> with_own(candidates.begin(), candidates.end());
    for (Candidate& c : with_own) c.tokens += own - memories_[c.replica].known(prefixes) * page_tokens;
    return fewest_tokens(with_own);
  }

  void computes(ReplicaIndex replica, const Text& text) override {
    memories_[replica].note(prefixes_of(text));
  }
  void emptied(ReplicaIndex replica) override { memories_[replica].clear(); }

 private:
  std::vector<PrefixMemory> memories_;  // by replica
};

}  // namespace

std::unique_ptr<RoutingPolicy> make_routing_policy(Routing routing, std::size_t replicas,
                                                   std::size_t pages_max) {
  switch (routing) {
    case Routing::least_loaded: break;
    case Routing::round_robin: return std::make_unique<RoundRobin>();
    case Routing::prefix_affinity: return std::make_unique<PrefixAffinity>(replicas, pages_max);
  }
  return std::make_unique<LeastLoaded>();
}

}  // namespace troupe
