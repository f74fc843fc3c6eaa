#include "engine/listeners.hpp"

#include <utility>

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

void ThreadWaker::wake() {
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_one();
}

bool ThreadWaker::wait(std::optional<TimePoint> until) {
  std::unique_lock lock(mutex_);
  troupe::wait(changed_, lock, until, [this] { return woken_; });
  return std::exchange(woken_, false);
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
