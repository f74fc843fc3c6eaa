#include "engine/listeners.hpp"

#include "base/check.hpp"

namespace troupe {
namespace {

/// Waits on `changed` until `ready`, or until the time is up.
template <class Ready>
void wait(std::condition_variable& changed, std::unique_lock<std::mutex>& lock,
          const std::optional<TimePoint>& until, Ready ready) {
  if (until) {
    changed.wait_until(lock, *until, ready);
  } else {
    changed.wait(lock, ready);
  }
}

}  // namespace

void StreamChannel::on_token(TokenEvent event) {
  {
    const std::lock_guard lock(mutex_);
    collector_.add(event);
    events_.push_back(std::move(event));
  }
  changed_.notify_one();
}

void StreamChannel::on_end(FinishReason reason, const Usage& usage, const Timings& timings) {
  {
    const std::lock_guard lock(mutex_);
    result_.emplace(collector_.finish(reason, usage, timings));
  }
  changed_.notify_one();
}

void StreamChannel::on_error(Error error) {
  {
    const std::lock_guard lock(mutex_);
    result_.emplace(std::move(error));
  }
  changed_.notify_one();
}

std::optional<TokenEvent> StreamChannel::next(std::optional<TimePoint> until, bool& ended) {
  std::unique_lock lock(mutex_);
  wait(changed_, lock, until, [this] { return !events_.empty() || result_; });
  ended = events_.empty() && result_;
  if (events_.empty()) return std::nullopt;
  TokenEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

Result<Generation> StreamChannel::result() {
  const std::lock_guard lock(mutex_);
  TROUPE_CHECK(result_.has_value());
  return *result_;
}

void BatchInbox::put(std::size_t index, Result<Generation> result) {
  {
    const std::lock_guard lock(mutex_);
    items_.push_back({index, std::move(result)});
  }
  changed_.notify_one();
}

std::optional<BatchInbox::Item> BatchInbox::take(std::optional<TimePoint> until) {
  std::unique_lock lock(mutex_);
  wait(changed_, lock, until, [this] { return !items_.empty(); });
  if (items_.empty()) return std::nullopt;
  Item item = std::move(items_.front());
  items_.pop_front();
  return item;
}

}  // namespace troupe
