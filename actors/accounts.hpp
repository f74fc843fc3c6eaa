#pragma once
// What becomes of requests, as numbers. Pure: the time is passed in.

#include <memory>

#include "actors/counters.hpp"
#include "actors/flight_board.hpp"
#include "actors/placement.hpp"

namespace troupe {

/// Writes down each turn in a request's life, and keeps the moments in the flight that the next one is
/// measured from. One owner, the router.
class Accounts {
 public:
  explicit Accounts(std::shared_ptr<Counters> counters) : counters_(std::move(counters)) {}

  void refused(const Error& error) { bump(counters_->refusals[static_cast<std::size_t>(error.code)]); }
  void admitted(const Flight& flight);
  /// A generator takes it: the first one, or another after a fault or when it had to make way.
  void assigned(Flight& flight, TimePoint now);
  void token(Flight& flight, TimePoint made);
  /// The reader, for whom the generator had stopped, goes on.
  void reader_back(Flight& flight, TimePoint now) { flight.last_token = now; }
  void preempted() { bump(counters_->preemptions); }
  /// Preempted for want of KV pages.
  void evicted() { bump(counters_->evictions); }
  void replayed() { bump(counters_->replays); }
  void finished(const StreamEnd& end);
  void failed(const Error& error);
  /// What waits and what runs.
  void now_are(const FlightBoard& flights, const Placement& placement, bool draining);

 private:
  std::shared_ptr<Counters> counters_;
};

}  // namespace troupe
