#include "actors/accounts.hpp"

namespace troupe {
namespace {

double seconds_between(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

void Accounts::admitted(const Flight& flight) {
  bump(counters_->requests_admitted);
  bump(counters_->prompt_tokens, flight.submission.work->prompt.size());
}

void Accounts::assigned(Flight& flight, TimePoint now) {
  if (flight.started) return;
  flight.started = now;
  counters_->queue_time.record(seconds_between(flight.submitted, now));
}

void Accounts::token(Flight& flight, TimePoint made) {
  bump(counters_->completion_tokens);
  if (!flight.first_token) {
    flight.first_token = made;
    counters_->time_to_first_token.record(seconds_between(flight.submitted, made));
  } else {
    counters_->inter_token_latency.record(seconds_between(*flight.last_token, made));
  }
  flight.last_token = made;
}

void Accounts::failed(const Error& error) {
  bump(counters_->requests_failed);
  if (error.code == Errc::reader_stalled) bump(counters_->reader_stalls);
}

void Accounts::finished(const StreamEnd& end) {
  bump(counters_->finished[static_cast<std::size_t>(end.reason)]);
  if (end.reason != FinishReason::stop && end.reason != FinishReason::length) return;
  counters_->request_latency.record(end.timings.total_ms / 1000);
  counters_->request_prompt_tokens.record(end.usage.prompt_tokens);
  counters_->request_generation_tokens.record(end.usage.completion_tokens);
}

void Accounts::now_are(const FlightBoard& flights, const Placement& placement, bool draining) {
  publish(counters_->requests_queued, flights.waiting());
  publish(counters_->requests_running, flights.running());
  for (ReplicaIndex replica = 0; replica < counters_->replica_requests_running.size(); ++replica)
    publish(counters_->replica_requests_running[replica], placement.running(replica));
  // When the engine is stopping, newcomers are to hear that rather than when to come back.
  publish(counters_->queue_retry_ms, draining ? 0 : flights.retry_ms());
}

}  // namespace troupe
