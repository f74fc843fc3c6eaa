#include "actors/draft_plan.hpp"

#include <algorithm>
#include <queue>
#include <utility>

namespace troupe {

namespace {

/// Seconds of a step of `decodes` with `drafts`. Of more rows than were ever seen each costs what drafts have
/// cost so far: nothing, at first, so that they are tried.
double step_seconds(const StepBudget& budget, std::size_t decodes, std::size_t drafts) {
  constexpr double least = 1e-9;  // some clocks stand still in tests
  const double alone = std::max(least, budget.expect(decodes)->count());
  const auto begin = static_cast<double>(decodes), end = begin + static_cast<double>(drafts);
  const double seen = budget.rows_seen();
  if (end <= seen) return std::max(least, budget.expect(decodes + drafts)->count());
  if (seen <= begin) return alone;
  const double last = budget.expect(static_cast<std::size_t>(seen))->count();
  return alone + (last - alone) * (end - begin) / (seen - begin);
}

}  // namespace

std::vector<std::size_t> DraftPlan::choose(std::span<const DraftOffer> offers, const StepBudget& budget) {
  std::vector<std::size_t> chosen(offers.size(), 0);
  // The next token of each offer, by how likely it will be emitted.
  using Candidate = std::pair<double, std::size_t>;
  std::priority_queue<Candidate> candidates;
  for (std::size_t i = 0; i < offers.size(); ++i) {
    if (offers[i].tokens != 0) candidates.emplace(offers[i].rate, i);
  }
  if (candidates.empty() || !budget.expect(offers.size())) return chosen;
  const auto [likeliest, favourite] = candidates.top();

  const std::size_t room = budget.rows_for(offers.size()) - offers.size();
  auto tokens = static_cast<double>(offers.size());
  double best = tokens / step_seconds(budget, offers.size(), 0) * gain_min;
  std::vector<std::size_t> order;  // the offers that the drafts are of
  std::size_t worth = 0;           // of `order`, from the front
  while (!candidates.empty() && order.size() < room) {
    const auto [value, i] = candidates.top();
    candidates.pop();
    order.push_back(i);
    tokens += value;
    const double rate = tokens / step_seconds(budget, offers.size(), order.size());
    if (rate > best) {
      best = rate;
      worth = order.size();
    }
    const auto taken = ++chosen[i];
    if (taken < offers[i].tokens) candidates.emplace(value * offers[i].rate, i);
  }
  for (std::size_t k = worth; k < order.size(); ++k) --chosen[order[k]];
  if (worth == order.size()) {
    steps_refused_ = 0;
    retry_steps_ = retry_steps_min;
  } else if (likeliest >= likely && retry_is_due()) {
    chosen[favourite] = std::min(offers[favourite].tokens, budget.rows_max() - offers.size());
  }
  return chosen;
}

bool DraftPlan::retry_is_due() {
  if (++steps_refused_ < retry_steps_) return false;
  steps_refused_ = 0;
  retry_steps_ = std::min(2 * retry_steps_, retry_steps_max);
  return true;
}

}  // namespace troupe
