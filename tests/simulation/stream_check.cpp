#include "simulation/stream_check.hpp"

#include <algorithm>

#include "actors/counters.hpp"
#include "actors/page_ledger.hpp"
#include "actors/stop_rule.hpp"
#include "simulation/verdict.hpp"

namespace troupe::test {

using std::chrono::milliseconds;

namespace {

std::string name_of(const Stream& stream) {
  return "stream " + std::to_string(stream.tag) + " (request " + std::to_string(stream.id) + ")";
}

}  // namespace

Tally& Tally::operator+=(const Tally& o) {
  requests += o.requests, refused += o.refused, tokens += o.tokens;
  finished += o.finished, cancelled += o.cancelled, late += o.late, stalled += o.stalled;
  poisoned += o.poisoned, faulted += o.faulted;
  generators_killed += o.generators_killed, batchers_killed += o.batchers_killed;
  steps += o.steps, steps_failed += o.steps_failed, steps_hung += o.steps_hung;
  drafts += o.drafts, drafts_accepted += o.drafts_accepted;
  evictions += o.evictions, shares_compared += o.shares_compared;
  trace = trace * 31 + o.trace;
  return *this;
}

StreamCheck::StreamCheck(const Scenario& scenario, const Model& model, Trace trace)
    : scenario_(scenario),
      model_(model),
      trace_(std::move(trace)),
      shares_(scenario.options.pool_max, scenario.request_tokens_max()) {}

Stream& StreamCheck::submitted(const PlannedRequest& plan, TimePoint now) {
  const StreamTag tag = streams_.size() + 1;
  Stream& stream = streams_[tag];
  stream.plan = &plan;
  stream.tag = tag;
  stream.submitted = now;
  if (plan.patience) stream.deadline = now + *plan.patience;
  ++tally.requests;
  last_event_ = now;
  return stream;
}

void StreamCheck::admission(StreamTag tag, const Admission& admission, TimePoint now) {
  Stream& stream = streams_.at(tag);
  if (!admission.refusal) {
    trace_(name_of(stream) + " is admitted as " + std::to_string(admission.request));
    stream.id = admission.request;
    stream.admitted = true;
    if (stream.ended) return;
    ++alive_;
    if (stream.tokens.empty()) {
      stream.waits = true;
      shares_.admitted(stream.plan->priority, stream.plan->client_key);
    }
    return;
  }
  trace_(name_of(stream) + " is refused: " + admission.refusal->message);
  stream.refused = true;
  ++tally.refused;
  const Errc code = admission.refusal->code;
  const bool legal = code == Errc::queue_full || code == Errc::too_large || code == Errc::context_exceeded ||
                     (code == Errc::deadline && stream.deadline && *stream.deadline <= now) ||
                     (code == Errc::draining && drain_deadline_) ||
                     (code == Errc::fault && scenario_.tight_budgets);
  if (!legal) violation(name_of(stream) + " was refused without reason: " + admission.refusal->message);
  if (code == Errc::queue_full && admission.refusal->retry_after_ms == 0)
    violation(name_of(stream) + " was refused without a time to retry");
}

Stream& StreamCheck::event(StreamTag tag, RequestId request, TimePoint now, const std::string& what) {
  if (streams_.count(tag) == 0) violation("an event for a stream that nobody opened: " + what);
  Stream& stream = streams_.at(tag);
  trace_(name_of(stream) + ": " + what);
  if (stream.ended) violation(name_of(stream) + " had ended before: " + what);
  if (stream.refused) violation(name_of(stream) + " was refused before: " + what);
  if (stream.id != 0 && stream.id != request)
    violation(name_of(stream) + " goes by another id: " + std::to_string(request));
  stream.id = request;
  last_event_ = now;
  return stream;
}

void StreamCheck::token(const StreamToken& m, TimePoint now) {
  Stream& stream = event(m.tag, m.request, now, "token " + std::to_string(m.event.token));
  const PlannedRequest& plan = *stream.plan;
  stream.text += m.event.text;
  if (m.event.token == no_token) return;
  if (m.event.index != stream.tokens.size()) {
    violation(name_of(stream) + " has " + std::to_string(stream.tokens.size()) +
              " tokens and got the one with index " + std::to_string(m.event.index));
  }
  ++tally.tokens;
  if (stream.tokens.empty()) {
    shares_.served(plan.priority, plan.client_key, plan.work->prompt.size());
    started(stream);
  }
  shares_.served(plan.priority, plan.client_key, 1);
  stream.tokens.push_back(m.event.token);
  if (plan.window_tokens == 0) return;
  const std::size_t ahead = stream.tokens.size() - stream.consumed;
  if (ahead > plan.window_tokens) {
    violation(name_of(stream) + " is " + std::to_string(ahead) +
              " tokens ahead of its reader; its window has " + std::to_string(plan.window_tokens));
  }
  if (ahead == plan.window_tokens) stream.full_since = now;
}

void StreamCheck::took(Stream& stream, std::size_t tokens) {
  stream.consumed += tokens;
  stream.full_since.reset();
}

void StreamCheck::end(const StreamEnd& m, TimePoint now) {
  Stream& stream = event(m.tag, m.request, now, std::string("ends: ") + finish_reason_name(m.reason));
  if (m.usage.completion_tokens != stream.tokens.size() ||
      m.usage.prompt_tokens != stream.plan->work->prompt.size())
    violation(name_of(stream) + " ends with wrong counts of tokens");
  switch (m.reason) {
    case FinishReason::stop:
    case FinishReason::length:
      if (stream.plan->poisoned) violation(name_of(stream) + " is poisoned and ended as if it were not");
      if (solo(stream).reason != m.reason)
        violation(name_of(stream) + " ends for another reason than when it runs alone");
      check_tokens(stream, true, "ended");
      ++tally.finished;
      break;
    case FinishReason::cancelled:
      if (!stream.cancel_asked && (!drain_deadline_ || now < *drain_deadline_))
        violation(name_of(stream) + " was cancelled by nobody");
      check_tokens(stream, false, "was cancelled");
      check_text(stream, "was cancelled");
      ++tally.cancelled;
      break;
    case FinishReason::deadline:
      if (!stream.deadline || now < *stream.deadline)
        violation(name_of(stream) + " ended before its deadline because of it");
      check_tokens(stream, false, "was late");
      check_text(stream, "was late");
      ++tally.late;
      break;
  }
  ended(stream);
}

void StreamCheck::error(const StreamError& m, TimePoint now) {
  Stream& stream = event(m.tag, m.request, now, "fails: " + m.error.message);
  if (m.error.code == Errc::reader_stalled) {
    const milliseconds wait(scenario_.options.reader_stall_ms_max);
    if (wait.count() == 0 || !stream.full_since || now - *stream.full_since < wait)
      violation(name_of(stream) + " was ended for a reader that was not late");
    ++tally.stalled;
  } else {
    if (!stream.plan->poisoned && !scenario_.tight_budgets)
      violation(name_of(stream) + " failed for no fault of its own: " + m.error.message);
    ++(stream.plan->poisoned ? tally.poisoned : tally.faulted);
  }
  check_tokens(stream, false, "failed");
  ended(stream);
}

void StreamCheck::ended(Stream& stream) {
  stream.ended = true;
  if (stream.admitted) --alive_;
  if (!stream.tokens.empty()) return;
  started(stream);
  const PlannedRequest& plan = *stream.plan;
  shares_.unclear(plan.priority, plan.client_key, plan.work->prompt.size());
}

void StreamCheck::started(Stream& stream) {
  if (stream.waits) shares_.started(stream.plan->priority, stream.plan->client_key);
  stream.waits = false;
}

const SoloAnswer& StreamCheck::solo(const Stream& stream) {
  const auto found = solos_.find(stream.tag);
  if (found != solos_.end()) return found->second;
  return solos_[stream.tag] =
             solo_answer(model_, *stream.plan->work, scenario_.options.context_tokens, scenario_.habit);
}

bool StreamCheck::may_run(const Stream& stream) const {
  return (stream.id != 0 || !stream.refused) &&
         stream.plan->work->prompt.size() < scenario_.options.context_tokens;
}

bool StreamCheck::is_text_of(const Stream& stream, std::span<const Token> text) {
  std::vector<Token>& whole = wholes_[stream.tag];
  if (whole.empty()) {
    whole = stream.plan->work->prompt;
    const auto& answer = solo(stream).tokens;
    whole.insert(whole.end(), answer.begin(), answer.end());
  }
  return text.size() <= whole.size() && std::equal(text.begin(), text.end(), whole.begin());
}

bool StreamCheck::is_promised(std::span<const Token> text) {
  return std::any_of(streams_.begin(), streams_.end(), [&](const auto& entry) {
    return may_run(entry.second) && is_text_of(entry.second, text);
  });
}

void StreamCheck::check_tokens(const Stream& stream, bool whole, const std::string& how) {
  const SoloAnswer& want = solo(stream);
  const auto& got = stream.tokens;
  const bool prefix =
      got.size() <= want.tokens.size() && std::equal(got.begin(), got.end(), want.tokens.begin());
  if (!prefix)
    violation(name_of(stream) + " " + how + " with tokens that it does not have when it runs alone");
  if (stream.plan->poisoned && !got.empty()) violation(name_of(stream) + " got tokens past its poison");
  if (whole && stream.text != want.text)
    violation(name_of(stream) + " " + how + " with a text that it does not have when it runs alone");
  if (whole && got.size() != want.tokens.size())
    violation(name_of(stream) + " " + how + " with " + std::to_string(got.size()) + " tokens of " +
              std::to_string(want.tokens.size()));
}

void StreamCheck::check_text(const Stream& stream, const std::string& how) {
  StopRule rule(model_.tokenizer(), stream.plan->work->options, scenario_.options.context_tokens);
  std::string want;
  for (const Token token : stream.tokens) {
    const StopRule::Outcome outcome = rule.push(token);
    want += outcome.text + outcome.tail;
  }
  if (stream.text != want + rule.take_held())
    violation(name_of(stream) + " " + how + " with a text that is not that of its tokens");
}

void StreamCheck::instant(TimePoint now, const Counters& counters) {
  const EngineOptions& o = scenario_.options;
  std::size_t alive = 0;
  std::size_t tokens = 0, largest = 0;
  for (const auto& [tag, stream] : streams_) {
    if (!stream.alive()) continue;
    ++alive;
    const std::size_t most = std::min<std::size_t>(
        stream.plan->work->prompt.size() + stream.plan->work->options.max_tokens, o.context_tokens);
    tokens += most;
    largest = std::max(largest, most);
    if (stream.cancel_asked) violation(name_of(stream) + " goes on though it was cancelled");
    if (stream.deadline && *stream.deadline <= now) violation(name_of(stream) + " is past its deadline");
    if (drain_deadline_ && *drain_deadline_ <= now) violation(name_of(stream) + " outlives the drain");
    const milliseconds wait(o.reader_stall_ms_max);
    if (wait.count() != 0 && stream.full_since && now - *stream.full_since > wait + wait / 8)
      violation(name_of(stream) + " waits for a reader that does not come back");
  }
  // Those that a fault put back in front of the queue had a place in the pool.
  const std::size_t running = counters.requests_running;
  if (running > o.pool_max) violation(std::to_string(running) + " requests run");
  if (counters.generators > o.pool_max)
    violation("there are " + std::to_string(counters.generators) + " generators");
  if (alive > std::size_t{o.queue_requests_max} + o.pool_max) {
    violation(std::to_string(alive) + " requests are in, but the queue holds " +
              std::to_string(o.queue_requests_max) + " and the pool " + std::to_string(o.pool_max));
  }
  if (tokens > std::max<std::size_t>(o.queue_tokens_max, largest) + o.pool_max * largest)
    violation(std::to_string(tokens) + " tokens are in, more than queue and pool hold");
  const std::string unfair = shares_.compare();
  if (!unfair.empty()) violation(unfair);
  tally.shares_compared = shares_.compared();
}

void StreamCheck::finished(const Counters& counters) {
  std::uint64_t admitted = 0;
  for (const auto& [tag, stream] : streams_) {
    if (stream.refused && (stream.ended || !stream.tokens.empty()))
      violation(name_of(stream) + " was refused and got events");
    if (stream.admitted && !stream.ended) violation(name_of(stream) + " never ended");
    admitted += stream.admitted;
  }
  const EngineStats stats = counters.stats();
  std::uint64_t ends = counters.requests_failed;
  for (const auto& finished : counters.finished) ends += finished;
  if (counters.requests_admitted != admitted || ends != admitted)
    violation("the counters do not add up: " + std::to_string(counters.requests_admitted) + " admitted, " +
              std::to_string(ends) + " ended, of " + std::to_string(admitted));
  if (stats.kv_pages_used != 0 || counters.requests_running != 0 || counters.requests_queued != 0)
    violation("the counters still show pages, or requests, of what has ended");
  if (counters.completion_tokens != tally.tokens) violation("the counters miss tokens");
  // When the last of them was started all had room; since then one has used it up, and one stays.
  tally.evictions = counters.evictions;
  const EngineOptions& o = scenario_.options;
  const std::uint64_t room = PageLedger::room_tokens - PageLedger::ahead_tokens;
  const std::uint64_t most = o.kv_overcommit ? (o.pool_max - 1) * (tally.tokens / room) : 0;
  if (counters.evictions > most || counters.evictions > counters.preemptions)
    violation(std::to_string(counters.evictions) + " evictions in " + std::to_string(tally.tokens) +
              " tokens");
}

}  // namespace troupe::test
