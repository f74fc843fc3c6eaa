#include "actors/placement.hpp"

#include <algorithm>

namespace troupe {

std::optional<Berth> Placement::take(std::span<const ReplicaIndex> up, std::uint64_t request,
                                     const Text& text, const KvNeed& need) {
  std::vector<Candidate> candidates;
  for (const ReplicaIndex replica : up) {
    const Load& load = loads_[replica];
    if (load.pages.fits(need, {})) candidates.push_back({replica, load.tokens});
  }
  if (candidates.empty()) return std::nullopt;
  const ReplicaIndex replica = policy_->choose(candidates, text);
  policy_->computes(replica, text);
  Load& load = loads_[replica];
  ++load.requests;
  load.tokens += need.most;
  load.pages.start(request, need);
  return Berth{request, replica, load.pages.promised(need), need.most};
}

bool Placement::has_room(std::span<const ReplicaIndex> up, const KvNeed& need,
                         std::span<const std::uint64_t> gone) const {
  return std::any_of(up.begin(), up.end(),
                     [&](ReplicaIndex replica) { return loads_[replica].pages.fits(need, gone); });
}

void Placement::got_token(Berth& berth, std::uint64_t left) {
  Load& load = loads_[berth.replica];
  load.tokens = load.tokens - berth.tokens + left;
  berth.tokens = left;
  load.pages.grow(berth.request);
}

void Placement::give_back(const Berth& berth) {
  Load& load = loads_[berth.replica];
  --load.requests;
  load.tokens -= berth.tokens;
  load.pages.end(berth.request);
}

std::optional<ReplicaIndex> Placement::overdrawn() const {
  const auto found =
      std::find_if(loads_.begin(), loads_.end(), [](const Load& load) { return load.pages.overdrawn(); });
  if (found == loads_.end()) return std::nullopt;
  return static_cast<ReplicaIndex>(found - loads_.begin());
}

}  // namespace troupe
