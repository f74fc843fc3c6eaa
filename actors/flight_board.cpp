#include "actors/flight_board.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "actors/stop_rule.hpp"
#include "base/check.hpp"

namespace troupe {
namespace {

double ms_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

// Where requests without a deadline stand among those of their key that have one: far behind, but not for
// ever.
constexpr std::chrono::seconds undated_horizon{30};

}  // namespace

std::uint32_t Flight::credit() const {
  const std::size_t unread = emitted.size() - std::min<std::size_t>(consumed, emitted.size());
  const std::uint32_t window = submission.window_tokens;
  return window - static_cast<std::uint32_t>(std::min<std::size_t>(unread, window));
}

Assignment Flight::assignment(BatcherActor batcher) const {
  Assignment job;
  job.request = id;
  job.epoch = epoch;
  job.sequence = sequence;
  job.work = submission.work;
  job.emitted = emitted;
  job.windowed = submission.window_tokens != 0;
  job.credit = credit();
  job.alone = alone;
  job.batcher = std::move(batcher);
  return job;
}

std::optional<TokenEvent> Flight::held_back(const Tokenizer& tokenizer) const {
  if (tail_delivered || emitted.empty()) return std::nullopt;
  StopRule rule(tokenizer, submission.work->options, std::numeric_limits<std::size_t>::max());
  std::string text;
  for (const Token token : emitted)
    text = rule.push(token).tail;  // empty, but where that was the last to come
  text += rule.take_held();
  if (text.empty()) return std::nullopt;
  return TokenEvent{static_cast<std::uint32_t>(emitted.size()), no_token, std::move(text)};
}

void Flight::evaluated(std::uint32_t cached) {
  const auto prompt = static_cast<std::uint32_t>(submission.work->prompt.size());
  if (!cached_tokens) cached_tokens = std::min(cached, prompt);
}

StreamEnd Flight::end(FinishReason reason, TimePoint now) const {
  StreamEnd end;
  end.tag = submission.tag;
  end.request = id;
  end.reason = reason;
  end.usage.prompt_tokens = static_cast<std::uint32_t>(submission.work->prompt.size());
  end.usage.completion_tokens = static_cast<std::uint32_t>(emitted.size());
  end.usage.cached_tokens = cached_tokens.value_or(0);
  end.timings.queue_ms = ms_between(submitted, started.value_or(now));
  end.timings.ttft_ms = first_token ? ms_between(submitted, *first_token) : 0;
  end.timings.total_ms = ms_between(submitted, now);
  return end;
}

std::uint32_t FlightBoard::tokens_max(const Work& work) const {
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(work.prompt.size() + work.options.max_tokens, context_tokens_));
}

QueuedRequest FlightBoard::queued(const Submission& submission, RequestId id, TimePoint deadline) const {
  return {id, tokens_max(*submission.work), submission.priority, submission.client_key, deadline};
}

std::uint32_t FlightBoard::tokens_left(const Flight& flight) const {
  const std::size_t used = flight.submission.work->prompt.size() + flight.emitted.size();
  return tokens_max(flight) - static_cast<std::uint32_t>(std::min<std::size_t>(used, tokens_max(flight)));
}

KvNeed FlightBoard::need(const Flight& flight) const {
  return {flight.submission.work->prompt.size() + flight.emitted.size(), tokens_max(flight),
          flight.evictions};
}

Flight* FlightBoard::admit(Submission& submission, TimePoint now) {
  const TimePoint deadline = submission.deadline.value_or(now + undated_horizon);
  if (!queue_.push(queued(submission, next_id_, deadline))) return nullptr;
  if (flights_.empty()) drain_rate_.begin_work(now);
  Flight& flight = flights_[next_id_];
  flight.id = next_id_++;
  flight.submission = std::move(submission);
  flight.submitted = now;
  if (flight.submission.deadline) deadlines_.emplace(*flight.submission.deadline, flight.id);
  return &flight;
}

Error FlightBoard::queue_full(const Work& work) const {
  const auto wait = drain_rate_.time_for(queue_.tokens_before(tokens_max(work)));
  return {Errc::queue_full,
          "the queue is full with " + std::to_string(queue_.requests()) + " requests and " +
              std::to_string(queue_.tokens()) + " tokens; retry in " + std::to_string(wait.count()) + " ms",
          static_cast<std::uint32_t>(wait.count())};
}

std::uint32_t FlightBoard::retry_ms() const {
  return queue_.full() ? static_cast<std::uint32_t>(drain_rate_.time_for(queue_.tokens_before(0)).count())
                       : 0;
}

void FlightBoard::drained(std::uint64_t tokens, TimePoint now) {
  drain_rate_.add(tokens, now);
}

Flight* FlightBoard::find(RequestId id) {
  const auto found = flights_.find(id);
  return found == flights_.end() ? nullptr : &found->second;
}

Flight* FlightBoard::current(RequestId id, std::uint32_t epoch) {
  Flight* flight = find(id);
  return flight != nullptr && flight->epoch == epoch ? flight : nullptr;
}

Flight* FlightBoard::next() {
  return find(next_id());  // there is none with id 0
}

RequestId FlightBoard::next_id() const {
  return interrupted_.empty() ? queue_.peek().value_or(0) : interrupted_.front();
}

void FlightBoard::start_next() {
  Flight& flight = *next();
  if (flight.place == FlightPlace::interrupted)
    interrupted_.pop_front();
  else
    TROUPE_CHECK(queue_.pop() == flight.id);
  flight.place = FlightPlace::running;
  flight.emitted_before = flight.emitted.size();
  running_.insert(flight.id);
  if (flight.seniority != 0) return;
  flight.seniority = ++starts_;
  const Submission& s = flight.submission;
  queue_.charge(s.priority, s.client_key, s.work->prompt.size());
}

void FlightBoard::wait_again(Flight& flight) {
  running_.erase(flight.id);
  if (flight.paused()) return wait_for_reader(flight);
  flight.place = FlightPlace::interrupted;
  interrupted_.push_back(flight.id);
}

void FlightBoard::wait_in_queue(Flight& flight) {
  running_.erase(flight.id);
  if (flight.paused()) return wait_for_reader(flight);
  put_back(flight);
}

void FlightBoard::wait_for_reader(Flight& flight) {
  flight.place = FlightPlace::reader;
  queue_.count_waiting(tokens_max(flight));
}

void FlightBoard::put_back(Flight& flight) {
  flight.place = FlightPlace::queue;
  queue_.put_back(queued(flight.submission, flight.id, {}), flight.seniority);
}

Runner FlightBoard::runner(RequestId id) const {
  const Flight& runs = flights_.at(id);
  return {id,
          runs.submission.client_key,
          runs.submission.priority,
          runs.seniority,
          runs.served() >= served_min || runs.paused(),
          runs.paused()};
}

std::optional<std::vector<RequestId>> FlightBoard::who_makes_way_for(const Flight& flight,
                                                                     const EnoughMakeWay& enough) const {
  if (enough({})) return std::vector<RequestId>();
  std::vector<Runner> runners;
  runners.reserve(running_.size());
  for (const RequestId id : running_) runners.push_back(runner(id));
  auto they = who_makes_way(flight.submission.client_key, flight.submission.priority, runners, enough);
  if (!they && flight.evictions != 0) they = who_makes_way_for_evicted(runners, enough);
  return they;
}

Flight& FlightBoard::evict_on(ReplicaIndex replica) {
  std::vector<Runner> runners;
  for (const RequestId id : running_) {
    if (flights_.at(id).runs_on(replica)) runners.push_back(runner(id));
  }
  Flight& flight = flights_.at(who_is_evicted(runners));
  ++flight.evictions;
  return flight;
}

void FlightBoard::served_token(const Flight& flight) {
  queue_.charge(flight.submission.priority, flight.submission.client_key, 1);
}

void FlightBoard::erase(RequestId id) {
  const Flight* flight = find(id);
  TROUPE_CHECK(flight != nullptr);
  switch (flight->place) {
    case FlightPlace::queue: queue_.erase(id); break;
    case FlightPlace::interrupted:
      interrupted_.erase(std::find(interrupted_.begin(), interrupted_.end(), id));
      break;
    case FlightPlace::reader: queue_.count_no_longer(tokens_max(*flight)); break;
    case FlightPlace::running: running_.erase(id); break;
  }
  if (flight->place != FlightPlace::queue)
    queue_.leave(flight->submission.priority, flight->submission.client_key);
  if (flight->submission.deadline) deadlines_.erase({*flight->submission.deadline, id});
  if (flight->reader_due) readers_due_.erase({*flight->reader_due, id});
  flights_.erase(id);
}

void FlightBoard::await_reader(Flight& flight, TimePoint due) {
  TROUPE_CHECK(!flight.reader_due);
  flight.reader_due = due;
  readers_due_.emplace(due, flight.id);
}

void FlightBoard::reader_back(Flight& flight) {
  readers_due_.erase({*flight.reader_due, flight.id});
  flight.reader_due.reset();
  if (flight.place != FlightPlace::reader) return;
  queue_.count_no_longer(tokens_max(flight));
  put_back(flight);
}

std::size_t FlightBoard::running_paused() const {
  const auto runs = [this](const auto& due) { return flights_.at(due.second).generator != nullptr; };
  return static_cast<std::size_t>(std::count_if(readers_due_.begin(), readers_due_.end(), runs));
}

std::optional<TimePoint> FlightBoard::next_deadline() const {
  TimePoint next = TimePoint::max();
  if (!deadlines_.empty()) next = deadlines_.begin()->first;
  if (!readers_due_.empty()) next = std::min(next, readers_due_.begin()->first);
  return next == TimePoint::max() ? std::nullopt : std::optional(next);
}

std::optional<RequestId> FlightBoard::stalled(TimePoint now) const {
  if (readers_due_.empty() || readers_due_.begin()->first > now) return std::nullopt;
  return readers_due_.begin()->second;
}

std::optional<RequestId> FlightBoard::overdue(TimePoint now) const {
  if (deadlines_.empty() || deadlines_.begin()->first > now) return std::nullopt;
  return deadlines_.begin()->second;
}

std::optional<RequestId> FlightBoard::any() const {
  return flights_.empty() ? std::nullopt : std::optional(flights_.begin()->first);
}

}  // namespace troupe
