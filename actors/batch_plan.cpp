#include "actors/batch_plan.hpp"

#include <algorithm>

namespace troupe {

std::size_t count_decodes(std::span<const PendingRows> pending) {
  return static_cast<std::size_t>(std::count_if(pending.begin(), pending.end(), [](const PendingRows& rows) {
    return rows.tokens == 1 && !rows.alone;
  }));
}

std::vector<PendingRows> with_pages(std::vector<PendingRows> pending, std::size_t& pages_available) {
  std::sort(pending.begin(), pending.end(),
            [](const PendingRows& a, const PendingRows& b) { return a.arrival < b.arrival; });
  std::vector<PendingRows> rest;
  for (const PendingRows& rows : pending) {
    if (rows.pages > pages_available) continue;
    pages_available -= rows.pages;
    rest.push_back(rows);
  }
  if (rest.size() != pending.size()) pages_available = 0;
  return rest;
}

std::vector<PlannedRows> plan_step(std::span<const PendingRows> pending, std::size_t rows_max,
                                   bool alone_turn) {
  std::vector<const PendingRows*> order;
  const PendingRows* alone = nullptr;
  for (const PendingRows& rows : pending) {
    if (!rows.alone) {
      order.push_back(&rows);
    } else if (alone == nullptr || rows.arrival < alone->arrival) {
      alone = &rows;
    }
  }
  if (alone != nullptr && (alone_turn || order.empty())) {
    return {{alone->sequence, std::min(alone->tokens, rows_max), 0}};
  }
  std::sort(order.begin(), order.end(), [](const PendingRows* a, const PendingRows* b) {
    const bool a_prefill = a->tokens > 1;
    const bool b_prefill = b->tokens > 1;
    return a_prefill != b_prefill ? b_prefill : a->arrival < b->arrival;
  });
  std::vector<PlannedRows> plan;
  std::size_t room = rows_max;
  for (const PendingRows* rows : order) {
    if (room == 0) break;
    const std::size_t tokens = std::min(rows->tokens, room);
    plan.push_back({rows->sequence, tokens, 0});
    room -= tokens;
  }
  return plan;
}

}  // namespace troupe
