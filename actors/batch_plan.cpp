#include "actors/batch_plan.hpp"

#include <algorithm>

namespace troupe {

std::vector<PlannedRows> plan_step(std::span<const PendingRows> pending, std::size_t step_tokens_max,
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
    return {{alone->sequence, std::min(alone->tokens, step_tokens_max)}};
  }
  std::sort(order.begin(), order.end(), [](const PendingRows* a, const PendingRows* b) {
    const bool a_prefill = a->tokens > 1;
    const bool b_prefill = b->tokens > 1;
    return a_prefill != b_prefill ? b_prefill : a->arrival < b->arrival;
  });
  std::vector<PlannedRows> plan;
  std::size_t room = step_tokens_max;
  for (const PendingRows* rows : order) {
    if (room == 0) break;
    const std::size_t tokens = std::min(rows->tokens, room);
    plan.push_back({rows->sequence, tokens});
    room -= tokens;
  }
  return plan;
}

}  // namespace troupe
