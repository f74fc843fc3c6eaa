#include "actors/page_ledger.hpp"

#include <algorithm>

#include "model/kv_cache.hpp"

namespace troupe {

std::size_t PageLedger::pages_of(const KvNeed& need, std::size_t ahead) const {
  return KvCache::pages_for(overcommit_ ? std::min(need.now + ahead, need.most) : need.most);
}

bool PageLedger::fits(const KvNeed& need, std::span<const std::uint64_t> gone) const {
  constexpr std::uint32_t doublings_max = 32;  // more than any context has
  const std::size_t room = room_tokens << std::min(need.evictions, doublings_max);
  std::size_t pages = pages_of(need, room);
  for (const auto& [id, other] : needs_) {
    if (std::find(gone.begin(), gone.end(), id) == gone.end()) pages += pages_of(other, room);
  }
  return pages <= pages_max_;
}

void PageLedger::start(std::uint64_t id, const KvNeed& need) {
  needs_[id] = need;
  pages_ += pages_of(need, ahead_tokens);
}

void PageLedger::grow(std::uint64_t id) {
  KvNeed& need = needs_.at(id);
  pages_ -= pages_of(need, ahead_tokens);
  ++need.now;
  pages_ += pages_of(need, ahead_tokens);
}

void PageLedger::end(std::uint64_t id) {
  const auto found = needs_.find(id);
  pages_ -= pages_of(found->second, ahead_tokens);
  needs_.erase(found);
}

}  // namespace troupe
