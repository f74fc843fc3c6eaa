#include "actors/placement.hpp"

#include <algorithm>

namespace troupe {

std::optional<Berth> Placement::take(std::span<const ReplicaIndex> up, const Text& text, std::size_t pages,
                                     std::uint64_t tokens) {
  std::vector<Candidate> candidates;
  for (const ReplicaIndex replica : up) {
    const Load& load = loads_[replica];
    if (pages <= pages_max_ - load.pages) candidates.push_back({replica, load.tokens});
  }
  if (candidates.empty()) return std::nullopt;
  const Berth berth{policy_->choose(candidates, text), pages, tokens};
  policy_->computes(berth.replica, text);
  Load& load = loads_[berth.replica];
  ++load.requests;
  load.pages += pages;
  load.tokens += tokens;
  return berth;
}

bool Placement::has_room(std::span<const ReplicaIndex> up, std::size_t pages,
                         std::span<const Berth> gone) const {
  return std::any_of(up.begin(), up.end(), [&](ReplicaIndex replica) {
    std::size_t free = pages_max_ - loads_[replica].pages;
    for (const Berth& berth : gone) free += berth.replica == replica ? berth.pages : 0;
    return pages <= free;
  });
}

void Placement::still_open(Berth& berth, std::uint64_t tokens) {
  std::uint64_t& open = loads_[berth.replica].tokens;
  open = open - berth.tokens + tokens;
  berth.tokens = tokens;
}

void Placement::give_back(const Berth& berth) {
  Load& load = loads_[berth.replica];
  --load.requests;
  load.pages -= berth.pages;
  load.tokens -= berth.tokens;
}

}  // namespace troupe
