#pragma once
// The requests between their admission and their one answer: who waits, who runs, when each is due. Pure
// bookkeeping of the router: sends nothing, the time is passed in.

#include <deque>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "actors/admission.hpp"
#include "actors/messages.hpp"
#include "actors/placement.hpp"
#include "actors/preemption.hpp"

namespace troupe {

/// Where a request is.
enum class FlightPlace : std::uint8_t {
  queue,        ///< in the queue's order
  interrupted,  ///< by a fault: in front of the queue
  reader,       ///< it had to leave its generator, and is paused until its reader takes something
  running,      ///< with a generator
};

/// One admitted request.
struct Flight {
  RequestId id = 0;
  Submission submission;
  std::vector<Token> emitted;      ///< delivered to the sink
  bool tail_delivered = false;     ///< the text behind the last token too
  std::uint32_t consumed = 0;      ///< of the emitted, by the reader
  std::uint32_t epoch = 0;         ///< raised whenever the request leaves a generator
  std::uint64_t seniority = 0;     ///< when it was first started, among all: 1, 2, …; 0: not yet
  std::size_t emitted_before = 0;  ///< tokens that it had when it was last started
  std::optional<std::uint32_t> cached_tokens;  ///< of the prompt, when it was evaluated first
  std::uint32_t replays = 0;                   ///< after generators or batchers died
  std::uint32_t evictions = 0;                 ///< how often there were no KV pages for it to go on
  bool alone = false;                          ///< the step of its next token failed once
  FlightPlace place = FlightPlace::queue;
  GeneratorActor generator;  ///< null while it waits
  SequenceId sequence = 0;   ///< while it runs
  Berth berth;               ///< while it runs
  TimePoint submitted;
  std::optional<TimePoint> started;
  std::optional<TimePoint> first_token;
  std::optional<TimePoint> reader_due;  ///< while it is paused: when its reader must have come back
  std::optional<TimePoint> last_token;  ///< or when its reader came back

  /// Tokens that may be emitted before the reader has to read; with a window only.
  std::uint32_t credit() const;
  /// Whether the reader has to take something before the next token.
  bool paused() const { return submission.window_tokens != 0 && credit() == 0; }
  bool runs_on(ReplicaIndex replica) const { return generator && berth.replica == replica; }
  /// Tokens since it was last started.
  std::size_t served() const { return emitted.size() - emitted_before; }
  /// As far as it has come.
  Text text() const { return {submission.work->prompt, emitted}; }
  /// What its generator is to be told. The batcher is its berth's.
  Assignment assignment(BatcherActor batcher) const;
  /// The text behind the last token, if there is any that was not delivered.
  std::optional<TokenEvent> held_back(const Tokenizer& tokenizer) const;
  StreamToken token(TokenEvent event) const { return {submission.tag, id, std::move(event)}; }
  StreamError error(Error error) const { return {submission.tag, id, std::move(error)}; }
  /// It was evaluated, and the prefix cache had so many tokens of it. A replay finds more, and counts no
  /// more.
  void evaluated(std::uint32_t cached);
  /// Its one answer, unless it failed.
  StreamEnd end(FinishReason reason, TimePoint now) const;
};

/// One owner; not thread-safe. Bounded by the admission queue's limits and the router's pool.
class FlightBoard {
 public:
  FlightBoard(std::uint32_t queue_requests_max, std::uint64_t queue_tokens_max, std::uint32_t context_tokens)
      : queue_(queue_requests_max, queue_tokens_max), context_tokens_(context_tokens) {}

  /// Positions that a request may take: prompt and answer, at most the context.
  std::uint32_t tokens_max(const Work& work) const;
  std::uint32_t tokens_max(const Flight& flight) const { return tokens_max(*flight.submission.work); }
  /// Of them, those that the answer may still get.
  std::uint32_t tokens_left(const Flight& flight) const;

  /// What it needs of a KV cache.
  KvNeed need(const Flight& flight) const;

  /// Takes a request in and lets it wait; nullptr, and `submission` is as it was, when the queue is full.
  Flight* admit(Submission& submission, TimePoint now);

  /// What to tell a request that admit() turned away: the queue's state, and when to come back.
  Error queue_full(const Work& work) const;
  /// When to come back with any request, while none at all is taken in; 0 otherwise.
  std::uint32_t retry_ms() const;
  /// Counts the tokens of a request that has ended, from which that time is reckoned.
  void drained(std::uint64_t tokens, TimePoint now);

  Flight* find(RequestId id);
  /// The flight, if `epoch` is its present one.
  Flight* current(RequestId id, std::uint32_t epoch);

  /// The one to run next: those that were interrupted first, then the queue's order. Null when none waits.
  Flight* next();
  /// Its id; 0 when none waits.
  RequestId next_id() const;
  /// Takes what next() returned from those that wait. Fairness counts its prompt when it starts first.
  void start_next();
  /// It was served a token.
  void served_token(const Flight& flight);
  /// Puts a flight that a fault interrupted in front of the queue.
  void wait_again(Flight& flight);
  /// Puts a flight that had to make way in front of its client's others in the queue. Either way, one that is
  /// paused waits for its reader first: it would keep a place, and those behind it, for nothing.
  void wait_in_queue(Flight& flight);
  /// Ends it, wherever it is.
  void erase(RequestId id);

  /// The flight is paused until its reader takes something, which is to be before `due`.
  void await_reader(Flight& flight, TimePoint due);
  void reader_back(Flight& flight);
  /// Flights with a generator that is paused.
  std::size_t running_paused() const;

  /// The next deadline of a request, or of a reader.
  std::optional<TimePoint> next_deadline() const;
  /// One whose deadline has passed.
  std::optional<RequestId> overdue(TimePoint now) const;
  /// One whose reader did not come back in time.
  std::optional<RequestId> stalled(TimePoint now) const;
  /// Any flight at all; nullopt when there is none.
  std::optional<RequestId> any() const;

  /// Flights for which `concerns(flight)` holds.
  template <class Predicate>
  std::vector<RequestId> select(Predicate concerns) const {
    std::vector<RequestId> ids;
    for (const auto& [id, flight] : flights_) {
      if (concerns(flight)) ids.push_back(id);
    }
    return ids;
  }

  /// Those that have to make way for the flight, which is next; see preemption.hpp.
  std::optional<std::vector<RequestId>> who_makes_way_for(const Flight& flight,
                                                          const EnoughMakeWay& enough) const;

  /// The one of a replica's that has to make way because there are no KV pages for all of them to go on; it
  /// remembers that.
  Flight& evict_on(ReplicaIndex replica);

  bool empty() const noexcept { return flights_.empty(); }
  std::size_t waiting() const noexcept { return queue_.requests() + interrupted_.size(); }
  std::size_t running() const noexcept { return running_.size(); }

 private:
  Runner runner(RequestId id) const;
  void put_back(Flight& flight);
  void wait_for_reader(Flight& flight);
  QueuedRequest queued(const Submission& submission, RequestId id, TimePoint deadline) const;

  RequestId next_id_ = 1;
  std::unordered_map<RequestId, Flight> flights_;
  AdmissionQueue queue_;  // flights that wait for their first generator, or had to make way
  std::deque<RequestId> interrupted_;
  std::set<RequestId> running_;
  std::uint64_t starts_ = 0;  // of flights, for the first time
  std::uint32_t context_tokens_;
  std::set<std::pair<TimePoint, RequestId>> deadlines_;
  std::set<std::pair<TimePoint, RequestId>> readers_due_;
  DrainRate drain_rate_;
};

}  // namespace troupe
