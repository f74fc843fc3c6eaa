#include "actors/admission.hpp"

#include <algorithm>
#include <cmath>

#include "base/check.hpp"

namespace troupe {
namespace {

// A key's share per turn. Small against typical requests, so that turns stay short; a key saves up for longer
// ones.
constexpr std::uint64_t quantum_tokens = 256;
constexpr std::uint64_t starvation_interval = 8;

}  // namespace

bool AdmissionQueue::push(QueuedRequest request) {
  // A single request larger than the token bound must be able to run on an empty queue.
  const bool too_many_tokens = tokens_ + request.tokens > tokens_max_ && !where_.empty();
  if (where_.size() >= requests_max_ || too_many_tokens) return false;
  const Order order{request.deadline, arrivals_++};
  Class& c = classes_[static_cast<std::size_t>(request.priority)];
  KeyQueue& queue = c.keys[request.client_key];
  if (queue.waiting.empty()) c.turns.push_back(request.client_key);
  queue.waiting.emplace(order, Entry{request.id, request.tokens});
  tokens_ += request.tokens;
  const bool fresh =
      where_.emplace(request.id, Place{request.priority, std::move(request.client_key), order}).second;
  TROUPE_CHECK(fresh);
  return true;
}

AdmissionQueue::Class* AdmissionQueue::next_class() {
  const auto waits = [](const Class& c) { return !c.turns.empty(); };
  if (popped_ % starvation_interval == starvation_interval - 1) {
    const auto lowest = std::find_if(classes_.begin(), classes_.end(), waits);
    return lowest == classes_.end() ? nullptr : &*lowest;
  }
  const auto highest = std::find_if(classes_.rbegin(), classes_.rend(), waits);
  return highest == classes_.rend() ? nullptr : &*highest;
}

/// Moves on to the first key whose saved-up share covers its next request.
AdmissionQueue::KeyQueue& AdmissionQueue::next_key(Class& c) {
  // With one key there is nobody to be fair to, and the loop below would only count.
  while (c.turns.size() > 1) {
    KeyQueue& queue = c.keys.at(c.turns.front());
    if (queue.deficit >= queue.waiting.begin()->second.tokens) return queue;
    queue.deficit += quantum_tokens;
    c.turns.push_back(std::move(c.turns.front()));
    c.turns.pop_front();
  }
  return c.keys.at(c.turns.front());
}

std::optional<std::uint64_t> AdmissionQueue::peek() {
  Class* c = next_class();
  if (c == nullptr) return std::nullopt;
  return next_key(*c).waiting.begin()->second.id;
}

std::optional<std::uint64_t> AdmissionQueue::pop() {
  Class* c = next_class();
  if (c == nullptr) return std::nullopt;
  KeyQueue& queue = next_key(*c);
  const Entry entry = queue.waiting.begin()->second;
  queue.deficit -= std::min(queue.deficit, entry.tokens);
  ++popped_;
  erase(entry.id);
  return entry.id;
}

bool AdmissionQueue::erase(std::uint64_t id) {
  const auto place = where_.find(id);
  if (place == where_.end()) return false;
  Class& c = classes_[static_cast<std::size_t>(place->second.priority)];
  const auto key = c.keys.find(place->second.key);
  const auto entry = key->second.waiting.find(place->second.order);
  tokens_ -= entry->second.tokens;
  key->second.waiting.erase(entry);
  if (key->second.waiting.empty()) {
    // What an absent key had saved up is forgotten: a share is for those who wait.
    c.turns.erase(std::find(c.turns.begin(), c.turns.end(), key->first));
    c.keys.erase(key);
  }
  where_.erase(place);
  return true;
}

std::uint64_t AdmissionQueue::tokens_before(std::uint64_t tokens) const noexcept {
  const std::uint64_t excess = tokens_ + tokens > tokens_max_ ? tokens_ + tokens - tokens_max_ : 0;
  const std::uint64_t one_request = where_.empty() ? 0 : tokens_ / where_.size();
  return std::max(excess, one_request);
}

void DrainRate::add(std::uint64_t tokens, Clock::time_point now) {
  pending_ += tokens;
  busy_s_ += std::chrono::duration<double>(now - last_).count();
  last_ = now;
  if (busy_s_ < 0.1) return;
  const double rate = static_cast<double>(pending_) / busy_s_;
  // A second's worth of the past weighs as much as the present.
  const double weight = 1 - std::exp(-busy_s_);
  tokens_per_s_ = tokens_per_s_ == 0 ? rate : tokens_per_s_ + weight * (rate - tokens_per_s_);
  pending_ = 0;
  busy_s_ = 0;
}

std::chrono::milliseconds DrainRate::time_for(std::uint64_t tokens) const {
  if (tokens_per_s_ <= 0) return std::chrono::milliseconds(1000);
  const double ms = 1000.0 * static_cast<double>(tokens) / tokens_per_s_;
  return std::chrono::milliseconds(static_cast<std::int64_t>(std::clamp(ms, 50.0, 60'000.0)));
}

}  // namespace troupe
