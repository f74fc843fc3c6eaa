#include "actors/preemption.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>
#include <utility>

namespace troupe {
namespace {

/// Those without whom it is not enough: the last one may have made the room alone, or on another replica.
std::vector<std::uint64_t> needed(std::vector<std::uint64_t> gone, const EnoughMakeWay& enough) {
  for (std::size_t i = 0; i < gone.size();) {
    auto others = gone;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    if (enough(others)) {
      gone = std::move(others);
    } else {
      ++i;
    }
  }
  return gone;
}

}  // namespace

std::optional<std::vector<std::uint64_t>> who_makes_way(std::string_view client_key, Priority priority,
                                                        const std::vector<Runner>& runners,
                                                        const EnoughMakeWay& enough) {
  std::map<std::string_view, std::size_t> places;
  std::vector<const Runner*> candidates;
  for (const Runner& runner : runners) {
    ++places[runner.client_key];
    if (runner.may_go && runner.priority <= priority) candidates.push_back(&runner);
  }
  const std::size_t own = places[client_key];
  const auto rank = [&](const Runner* runner) {
    return std::tuple(places.at(runner->client_key), runner->seniority);
  };
  std::vector<std::uint64_t> gone;
  while (!enough(gone)) {
    const auto next = std::max_element(candidates.begin(), candidates.end(),
                                       [&](const Runner* a, const Runner* b) { return rank(a) < rank(b); });
    if (next == candidates.end()) return std::nullopt;
    std::size_t& left = places.at((*next)->client_key);
    if (left < own + 2) return std::nullopt;
    --left;
    gone.push_back((*next)->id);
    candidates.erase(next);
  }
  return needed(std::move(gone), enough);
}

std::optional<std::vector<std::uint64_t>> who_makes_way_for_evicted(const std::vector<Runner>& runners,
                                                                    const EnoughMakeWay& enough) {
  std::vector<Runner> paused;
  std::copy_if(runners.begin(), runners.end(), std::back_inserter(paused),
               [](const Runner& runner) { return runner.paused; });
  std::sort(paused.begin(), paused.end(),
            [](const Runner& a, const Runner& b) { return a.seniority > b.seniority; });
  std::vector<std::uint64_t> gone;
  for (const Runner& runner : paused) {
    gone.push_back(runner.id);
    if (enough(gone)) return needed(std::move(gone), enough);
  }
  return std::nullopt;
}

std::uint64_t who_is_evicted(const std::vector<Runner>& runners) {
  const auto before = [](const Runner& a, const Runner& b) {
    return std::tuple(a.paused, a.seniority) < std::tuple(b.paused, b.seniority);
  };
  return std::max_element(runners.begin(), runners.end(), before)->id;
}

}  // namespace troupe
