#pragma once
// What becomes of a request after a fault: once more, alone, or its error. Pure.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "actors/flight_board.hpp"
#include "troupe/options.hpp"

namespace troupe {

/// Each function that takes a flight notes the fault in it. It returns the error that the request is to end
/// with, or nullopt: then it is replayed.
class FaultPolicy {
 public:
  explicit FaultPolicy(const EngineOptions& options)
      : replays_max_(options.replays_max),
        step_stall_ms_max_(options.step_stall_ms_max),
        reader_stall_ms_max_(options.reader_stall_ms_max) {}

  /// Its generator or its batcher died.
  std::optional<Error> interrupted(Flight& flight) const {
    if (++flight.replays <= replays_max_) return std::nullopt;
    return Error{Errc::fault, "the request was interrupted " + std::to_string(flight.replays) + " times"};
  }

  /// A step with it failed: once more, alone; a second time is its own fault. `final`: so would every other.
  std::optional<Error> step_failed(Flight& flight, const Error& error, bool final) const {
    if (final || flight.alone || ++flight.replays > replays_max_) return error;
    flight.alone = true;
    return std::nullopt;
  }

  /// On its batcher, a step with `sequences` did not end. If it was one of them, that is as if the step had
  /// failed, otherwise as if the batcher had died.
  std::optional<Error> step_stuck(Flight& flight, const std::vector<SequenceId>& sequences) const {
    if (std::find(sequences.begin(), sequences.end(), flight.sequence) == sequences.end())
      return interrupted(flight);
    return step_failed(flight,
                       {Errc::fault, "a step with this request did not end in " +
                                         std::to_string(step_stall_ms_max_) + " ms, step_stall_ms_max"},
                       false);
  }

  /// When the reader of a stream whose window fills up `now` must have taken something. It says so at least
  /// each eighth of the time that it has, not each time.
  TimePoint reader_due(TimePoint now) const {
    if (reader_stall_ms_max_ == 0) return TimePoint::max();
    return now + std::chrono::milliseconds(reader_stall_ms_max_ + reader_stall_ms_max_ / 8);
  }

  /// The end of a stream whose reader does not come back.
  Error reader_stalled() const {
    return {Errc::reader_stalled,
            "the reader took nothing for " + std::to_string(reader_stall_ms_max_) +
                " ms, reader_stall_ms_max, while its window was full; read faster, cancel, or "
                "raise the limit"};
  }

 private:
  std::uint32_t replays_max_;
  std::uint32_t step_stall_ms_max_;
  std::uint32_t reader_stall_ms_max_;
};

}  // namespace troupe
