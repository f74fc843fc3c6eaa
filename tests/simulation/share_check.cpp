#include "simulation/share_check.hpp"

#include <cmath>

namespace troupe::test {

std::string ShareCheck::compare() {
  for (auto a = parties_.begin(); a != parties_.end(); ++a) {
    for (auto b = std::next(a); b != parties_.end() && b->first.first == a->first.first; ++b) {
      const auto pair = std::pair(a->first, b->first);
      // Of those that have no token yet pool_max may run: the others wait for certain.
      if (a->second.unstarted <= pool_max_ || b->second.unstarted <= pool_max_) {
        starts_.erase(pair);
        continue;
      }
      const double lead = a->second.served - b->second.served;
      const double unclear = a->second.unclear + b->second.unclear;
      const auto [start, fresh] = starts_.try_emplace(pair, Start{lead, unclear});
      if (fresh) continue;
      ++compared_;
      const double grown = std::abs(lead - start->second.lead);
      const double allowed = bound_ + unclear - start->second.unclear;
      if (grown <= allowed) continue;
      return "keys '" + a->first.second + "' and '" + b->first.second + "' both had work, but their shares " +
             "drifted apart by " + std::to_string(grown) + " tokens; at most " + std::to_string(allowed) +
             " are fair";
    }
  }
  return {};
}

}  // namespace troupe::test
