#pragma once
// What every stream has been promised, checked as its events come in.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "actors/counters.hpp"
#include "simulation/scenario.hpp"
#include "simulation/share_check.hpp"
#include "simulation/toy_steps.hpp"

namespace troupe::test {

/// What happened in a simulation, for a look at whether it happened at all.
struct Tally {
  std::uint64_t requests = 0, refused = 0, tokens = 0;
  std::uint64_t finished = 0, cancelled = 0, late = 0, stalled = 0, poisoned = 0, faulted = 0;
  std::uint64_t generators_killed = 0, batchers_killed = 0, steps = 0, steps_failed = 0, steps_hung = 0;
  std::uint64_t drafts = 0, drafts_accepted = 0;
  std::uint64_t evictions = 0, shares_compared = 0;
  std::uint64_t trace = 0;  ///< a hash of every event and its time

  Tally& operator+=(const Tally& other);
};

/// One request, as its client sees it.
struct Stream {
  const PlannedRequest* plan = nullptr;
  StreamTag tag = 0;
  RequestId id = 0;
  TimePoint submitted{};
  std::optional<TimePoint> deadline;
  bool admitted = false;
  bool refused = false;
  bool ended = false;
  bool waits = false;  ///< for its first token
  std::vector<Token> tokens;
  std::string text;
  std::size_t consumed = 0;
  std::optional<TimePoint> full_since;  ///< its window
  std::optional<TimePoint> cancel_asked;
  bool suspected = false;  ///< a step with it failed or hung

  bool alive() const { return admitted && !ended; }
};

/// Ends the process by violation() when a stream is not what it should be. One owner; the time is passed in.
class StreamCheck {
 public:
  using Trace = std::function<void(const std::string&)>;
  StreamCheck(const Scenario& scenario, const Model& model, Trace trace);

  Stream& submitted(const PlannedRequest& plan, TimePoint now);
  void admission(StreamTag tag, const Admission& admission, TimePoint now);
  void token(const StreamToken& m, TimePoint now);
  void end(const StreamEnd& m, TimePoint now);
  void error(const StreamError& m, TimePoint now);
  /// Its reader took so many.
  void took(Stream& stream, std::size_t tokens);

  /// From now on newcomers may be refused; from `deadline` on streams may end as cancelled.
  void draining(TimePoint deadline) { drain_deadline_ = deadline; }
  /// Everything that could be handled at `now` was: what is due has happened, and no bound is exceeded.
  void instant(TimePoint now, const Counters& counters);
  /// Nothing comes any more.
  void finished(const Counters& counters);

  void trace(const std::string& line) const { trace_(line); }
  Stream& at(StreamTag tag) { return streams_.at(tag); }
  std::map<StreamTag, Stream>& streams() { return streams_; }
  std::size_t alive() const { return alive_; }
  TimePoint last_event() const { return last_event_; }
  const SoloAnswer& solo(const Stream& stream);

  bool may_run(const Stream& stream) const;
  /// Whether prompt and answer of the stream begin with `text`; only if it may run.
  bool is_text_of(const Stream& stream, std::span<const Token> text);
  /// Whether those of any stream do.
  bool is_promised(std::span<const Token> text);

  Tally tally;

 private:
  Stream& event(StreamTag tag, RequestId request, TimePoint now, const std::string& what);
  void ended(Stream& stream);
  void started(Stream& stream);
  void check_tokens(const Stream& stream, bool whole, const std::string& how);
  /// All text of the tokens has come.
  void check_text(const Stream& stream, const std::string& how);

  const Scenario& scenario_;
  const Model& model_;
  Trace trace_;
  std::map<StreamTag, Stream> streams_;
  std::map<StreamTag, SoloAnswer> solos_;
  std::map<StreamTag, std::vector<Token>> wholes_;  // prompt and solo answer
  ShareCheck shares_;
  std::size_t alive_ = 0;
  std::optional<TimePoint> drain_deadline_;
  TimePoint last_event_{};
};

}  // namespace troupe::test
