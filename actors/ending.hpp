#pragma once
// The end of a router that was asked for: it takes nothing new, and by when what it has is to be over.

#include <algorithm>
#include <caf/typed_response_promise.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "actors/messages.hpp"

namespace troupe {

/// One owner.
class Ending {
 public:
  /// Asked for by one more, who hears when it is complete. Of several deadlines the first counts.
  void ask(caf::typed_response_promise<Drained> asker, TimePoint deadline) {
    askers_.push_back(std::move(asker));
    deadline_ = std::min(deadline_.value_or(deadline), deadline);
  }

  bool asked_for() const noexcept { return deadline_.has_value(); }
  const std::optional<TimePoint>& deadline() const noexcept { return deadline_; }
  /// Whether what still runs is to be cancelled.
  bool overdue(TimePoint now) const { return deadline_ && *deadline_ <= now; }

  void complete() {
    for (auto& asker : std::exchange(askers_, {})) asker.deliver(Drained{});
  }

 private:
  std::optional<TimePoint> deadline_;
  std::vector<caf::typed_response_promise<Drained>> askers_;
};

}  // namespace troupe
