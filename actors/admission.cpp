#include "actors/admission.hpp"

#include <algorithm>
#include <cmath>

#include "base/check.hpp"

namespace troupe {
namespace {

constexpr std::uint64_t starvation_interval = 8;

}  // namespace

bool AdmissionQueue::push(QueuedRequest request) {
  // A single request larger than the token bound must be able to run on an empty queue.
  const bool too_many_tokens = tokens_ + request.tokens > tokens_max_ && requests() != 0;
  if (requests() >= requests_max_ || too_many_tokens) return false;
  Class& c = class_of(request.priority);
  const auto [key, fresh_key] = c.keys.try_emplace(std::move(request.client_key));
  if (fresh_key) key->second.served = c.fair_clock;
  wait(key, request, {request.deadline, arrivals_++});
  return true;
}

void AdmissionQueue::put_back(QueuedRequest request, std::uint64_t seniority) {
  Class& c = class_of(request.priority);
  const auto key = c.keys.find(request.client_key);
  TROUPE_CHECK(key != c.keys.end() && key->second.being_served > 0);
  --key->second.being_served;
  wait(key, request, {std::chrono::steady_clock::time_point::min(), seniority});
}

void AdmissionQueue::count_waiting(std::uint64_t tokens) noexcept {
  ++elsewhere_;
  tokens_ += tokens;
}

void AdmissionQueue::count_no_longer(std::uint64_t tokens) noexcept {
  --elsewhere_;
  tokens_ -= tokens;
}

void AdmissionQueue::wait(Keys::iterator key, const QueuedRequest& request, const Order& order) {
  Class& c = class_of(request.priority);
  Key& k = key->second;
  if (k.waiting.empty()) {
    k.served = std::max(k.served, c.clock);
    k.since = arrivals_++;
    c.turns.insert(turn_of(k));
  }
  k.waiting.emplace(order, Entry{request.id, request.tokens});
  tokens_ += request.tokens;
  const bool fresh = where_.emplace(request.id, Place{request.priority, key, order}).second;
  TROUPE_CHECK(fresh);
}

const AdmissionQueue::Class* AdmissionQueue::next_class() const {
  const auto waits = [](const Class& c) { return !c.turns.empty(); };
  if (popped_ % starvation_interval == starvation_interval - 1) {
    const auto lowest = std::find_if(classes_.begin(), classes_.end(), waits);
    return lowest == classes_.end() ? nullptr : &*lowest;
  }
  const auto highest = std::find_if(classes_.rbegin(), classes_.rend(), waits);
  return highest == classes_.rend() ? nullptr : &*highest;
}

std::optional<std::uint64_t> AdmissionQueue::peek() const {
  const Class* c = next_class();
  if (c == nullptr) return std::nullopt;
  return c->turns.begin()->key->waiting.begin()->second.id;
}

std::optional<std::uint64_t> AdmissionQueue::pop() {
  const auto id = peek();
  if (!id) return std::nullopt;
  const auto place = where_.find(*id);
  Class& c = class_of(place->second.priority);
  Key& key = place->second.key->second;
  c.clock = std::max(c.clock, key.served);
  c.fair_clock = std::max(c.fair_clock, c.clock);
  ++key.being_served;
  ++popped_;
  take_out(place);
  return id;
}

bool AdmissionQueue::erase(std::uint64_t id) {
  const auto place = where_.find(id);
  if (place == where_.end()) return false;
  take_out(place);
  return true;
}

void AdmissionQueue::take_out(std::unordered_map<std::uint64_t, Place>::iterator place) {
  const auto [priority, key, order] = place->second;
  where_.erase(place);
  Class& c = class_of(priority);
  const auto entry = key->second.waiting.find(order);
  tokens_ -= entry->second.tokens;
  key->second.waiting.erase(entry);
  if (key->second.waiting.empty()) c.turns.erase(turn_of(key->second));
  forget_if_idle(c, key);
}

void AdmissionQueue::charge(Priority priority, const std::string& client_key, std::uint64_t tokens) {
  Class& c = class_of(priority);
  const auto found = c.keys.find(client_key);
  TROUPE_CHECK(found != c.keys.end());
  Key& key = found->second;
  const bool waits = !key.waiting.empty();
  if (waits) c.turns.erase(turn_of(key));
  key.served += static_cast<double>(tokens);
  if (waits) c.turns.insert(turn_of(key));
  c.fair_clock += static_cast<double>(tokens) / static_cast<double>(c.keys.size());
}

void AdmissionQueue::leave(Priority priority, const std::string& client_key) {
  Class& c = class_of(priority);
  const auto found = c.keys.find(client_key);
  TROUPE_CHECK(found != c.keys.end() && found->second.being_served > 0);
  --found->second.being_served;
  forget_if_idle(c, found);
}

void AdmissionQueue::forget_if_idle(Class& c, Keys::iterator key) {
  if (key->second.waiting.empty() && key->second.being_served == 0) c.keys.erase(key);
}

std::uint64_t AdmissionQueue::tokens_before(std::uint64_t tokens) const noexcept {
  const std::uint64_t excess = tokens_ + tokens > tokens_max_ ? tokens_ + tokens - tokens_max_ : 0;
  const std::uint64_t one_request = requests() == 0 ? 0 : tokens_ / requests();
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
