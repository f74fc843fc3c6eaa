#include "simulation/simulation.hpp"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>

#include "simulation/sim_world.hpp"
#include "simulation/verdict.hpp"

namespace troupe::test {
namespace {

using namespace std::chrono_literals;

/// How often a simulation is asked whether it is over.
constexpr SimTime look_every = 1ms;
/// Nothing waits longer than this for anything: back-off, slow readers, held generators, steps that hang.
constexpr std::chrono::seconds silence_max{3};
/// Deaths in one simulation: less than its budget of restarts.
constexpr std::uint64_t deaths_max = 120;

/// The clients of a world, the mishaps in it, and the checks.
class Simulation final : private SimObserver {
 public:
  Simulation(std::uint64_t seed, const std::shared_ptr<const Model>& model, bool trace);

  Tally run();

 private:
  TimePoint now() const { return world_.now(); }

  // ---- clients ----
  void submit(const PlannedRequest& plan);
  void answered(const Admission& admission) override;
  void drained() override;
  void token(const StreamToken& m) override;
  void end(const StreamEnd& m) override { check_.end(m, now()); }
  void error(const StreamError& m) override { check_.error(m, now()); }
  void read_later(Stream& stream);
  void cancel(Stream& stream);
  void drain();

  // ---- mishaps ----
  void between_messages() override;
  void before_start() override;
  void within_step(const SimStepper& stepper, const StepBatch& batch) override;
  using Texts = std::map<SequenceId, std::vector<Token>>;
  static Texts certain_texts(const SimStepper& stepper, const StepBatch& batch);
  bool suspect(const Texts& texts, bool ask);
  bool may_die() const { return deaths_ < deaths_max || scenario_.tight_budgets; }

  // ---- checks ----
  void remembered(std::span<const Token> text) override;
  void instant() override;
  void check_cache();

  Scenario scenario_;
  Draws draws_;
  StreamCheck check_;
  std::deque<StreamTag> asked_;  // submissions without an answer, in order
  std::size_t arrived_ = 0;
  std::uint64_t deaths_ = 0;
  int steps_running_ = 0;
  int steps_hanging_ = 0;
  bool draining_ = false;
  bool drained_ = false;
  SimWorld world_;
  TimePoint begin_;
};

StreamCheck::Trace tracer(bool on, const std::function<TimePoint()>& now, std::uint64_t& hash) {
  return [=, &hash](const std::string& line) {
    const auto us = std::chrono::duration_cast<SimTime>(now().time_since_epoch()).count();
    for (const char c : line) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    hash = (hash ^ static_cast<std::uint64_t>(us)) * 1099511628211U;
    if (on) std::fprintf(stderr, "%10.3f ms  %s\n", static_cast<double>(us) / 1000, line.c_str());
  };
}

Simulation::Simulation(std::uint64_t seed, const std::shared_ptr<const Model>& model, bool trace)
    : scenario_(make_scenario(seed)),
      draws_(seed, 2),
      check_(scenario_, *model,
             tracer(
                 trace, [this] { return now(); }, check_.tally.trace)),
      world_(scenario_, model, draws_, *this),
      begin_(now()) {
  for (const PlannedRequest& plan : scenario_.requests) {
    world_.at(begin_ + plan.arrival, [this, &plan] { submit(plan); });
  }
  if (scenario_.drain_at) world_.at(begin_ + *scenario_.drain_at, [this] { drain(); });
}

// ---- clients ----

void Simulation::submit(const PlannedRequest& plan) {
  Stream& stream = check_.submitted(plan, now());
  Submission submission;
  submission.work = plan.work;
  submission.deadline = stream.deadline;
  submission.priority = plan.priority;
  submission.client_key = plan.client_key;
  submission.window_tokens = plan.window_tokens;
  submission.tag = stream.tag;
  ++arrived_;
  if (drained_)
    return check_.admission(stream.tag, {0, Error{Errc::draining, "the router is gone", 0}}, now());
  asked_.push_back(stream.tag);
  world_.submit(std::move(submission));
  if (plan.cancelled_after)
    world_.at(now() + *plan.cancelled_after, [this, tag = stream.tag] { cancel(check_.at(tag)); });
}

void Simulation::answered(const Admission& admission) {
  const StreamTag tag = asked_.front();
  asked_.pop_front();
  check_.admission(tag, admission, now());
}

void Simulation::drained() {
  drained_ = true;
  // What reaches a router that has ended gets no answer.
  for (const StreamTag tag : asked_)
    check_.admission(tag, {0, Error{Errc::draining, "the router is gone", 0}}, now());
  asked_.clear();
}

void Simulation::token(const StreamToken& m) {
  check_.token(m, now());
  Stream& stream = check_.at(m.tag);
  if (m.event.token == no_token || stream.plan->window_tokens == 0) return;
  switch (stream.plan->reader) {
    case ReaderHabit::eager:
      check_.took(stream, 1);
      world_.consumed(stream.id, 1);
      break;
    case ReaderHabit::slow:
      if (stream.tokens.size() - stream.consumed == 1) read_later(stream);
      break;
    case ReaderHabit::absent: break;
  }
}

/// A slow reader comes when it likes, but before it is taken for absent.
void Simulation::read_later(Stream& stream) {
  const std::uint32_t wait_ms = scenario_.options.reader_stall_ms_max;
  const std::uint64_t latest_us = wait_ms == 0 ? 60'000 : 1000 * std::min(60U, wait_ms * 3 / 4);
  world_.at(now() + SimTime(draws_.between(0, latest_us)), [this, tag = stream.tag] {
    Stream& reading = check_.at(tag);
    if (reading.ended) return;
    const auto tokens =
        static_cast<std::uint32_t>(draws_.between(1, reading.tokens.size() - reading.consumed));
    check_.took(reading, tokens);
    world_.consumed(reading.id, tokens);
    if (reading.tokens.size() != reading.consumed) read_later(reading);
  });
}

void Simulation::cancel(Stream& stream) {
  if (stream.id == 0 || drained_) return;
  if (stream.alive()) stream.cancel_asked = now();
  world_.cancel(stream.id);
}

void Simulation::drain() {
  if (draining_) return;
  draining_ = true;
  check_.trace("the drain begins, " + std::to_string(scenario_.drain_ms) + " ms");
  check_.draining(now() + std::chrono::milliseconds(scenario_.drain_ms));
  world_.drain(scenario_.drain_ms);
}

// ---- mishaps ----

void Simulation::between_messages() {
  if (draws_.chance(scenario_.cancel) && !check_.streams().empty())
    cancel(check_.at(draws_.between(1, check_.streams().size())));
  const std::size_t count = world_.generators();
  if (count == 0 || world_.batchers() == 0) return;
  const std::size_t generator = draws_.between(count - std::min<std::size_t>(count, 8), count - 1);
  if (draws_.chance(scenario_.kill_generator) && may_die()) {
    ++deaths_;
    ++check_.tally.generators_killed;
    check_.trace("a generator is killed");
    world_.kill_generator(generator);
  }
  if (draws_.chance(scenario_.kill_batcher) && may_die()) {
    ++deaths_;
    ++check_.tally.batchers_killed;
    check_.trace("a batcher is killed");
    const std::size_t youngest = world_.batchers() - 1;
    world_.kill_batcher(youngest -
                        draws_.between(0, std::min<std::size_t>(youngest, scenario_.options.replicas - 1)));
  }
  if (draws_.chance(scenario_.hold_generator))
    world_.hold_generator(generator, SimTime(draws_.between(100, 20'000)));
}

void Simulation::before_start() {
  if (!may_die() || !draws_.chance(scenario_.start_fails)) return;
  ++deaths_;
  throw std::runtime_error("there is no memory for a batcher");
}

void Simulation::within_step(const SimStepper& stepper, const StepBatch& batch) {
  ++check_.tally.steps;
  SimTime time = scenario_.step_time + scenario_.row_time * batch.rows.size();
  const bool poisoned = std::any_of(batch.rows.begin(), batch.rows.end(),
                                    [](const StepRow& row) { return row.token == poison; });
  const Texts texts = certain_texts(stepper, batch);
  for (const auto& [sequence, text] : texts) {
    if (!check_.is_promised(text)) violation("a step goes on with a text that is no request's");
  }
  const bool fails = draws_.chance(scenario_.step_fails);
  const bool hangs = draws_.chance(scenario_.step_hangs) && steps_hanging_ < 2 && may_die() &&
                     scenario_.options.step_stall_ms_max != 0 && !world_.within_step();
  const bool mishap = poisoned || ((fails || hangs) && !suspect(texts, true));
  if (mishap) suspect(texts, false);
  const bool hanging = mishap && hangs;
  check_.trace("a step of " + std::to_string(batch.rows.size()) + " rows" +
               (hanging  ? " hangs"
                : mishap ? " fails"
                         : ""));
  if (hanging) {
    ++deaths_;
    ++check_.tally.steps_hung;
    time += std::chrono::milliseconds(2 * scenario_.options.step_stall_ms_max + 100);
  }
  ++steps_running_;
  steps_hanging_ += hanging;
  if (hanging) {
    world_.elapse(time);
  } else {
    world_.elapse_step(time);
  }
  steps_hanging_ -= hanging;
  --steps_running_;
  if (!mishap || hanging) return;
  ++check_.tally.steps_failed;
  throw std::runtime_error("the step was told to fail");
}

/// The texts of the step's sequences, up to the first row that wants logits: what is behind it are guesses.
Simulation::Texts Simulation::certain_texts(const SimStepper& stepper, const StepBatch& batch) {
  Texts texts;
  std::set<SequenceId> complete;
  for (const StepRow& row : batch.rows) {
    if (complete.count(row.sequence) != 0) continue;
    const auto [text, fresh] = texts.try_emplace(row.sequence);
    if (fresh) text->second = stepper.stored(row.sequence);
    text->second.push_back(row.token);
    if (row.wants_logits) complete.insert(row.sequence);
  }
  return texts;
}

/// Whether one of the streams that may take part in the step is suspected of breaking steps already: a second
/// mishap would be held against it. Else, unless only asked, they are now.
bool Simulation::suspect(const Texts& texts, bool ask) {
  for (auto& [tag, stream] : check_.streams()) {
    if (stream.ended || !check_.may_run(stream) || stream.plan->poisoned) continue;
    for (const auto& [sequence, text] : texts) {
      if (!check_.is_text_of(stream, text)) continue;
      if (ask && stream.suspected) return true;
      if (!ask) stream.suspected = true;
    }
  }
  return false;
}

// ---- checks ----

void Simulation::remembered(std::span<const Token> text) {
  if (!check_.is_promised(text)) violation("a text is remembered that is no request's");
}

void Simulation::instant() {
  check_.instant(now(), world_.counters());
  if (steps_running_ == 0) check_cache();
}

/// Between steps: the caches hold what runs and nothing else.
void Simulation::check_cache() {
  if (!world_.idle()) return;  // a generator is held
  const Counters& counters = world_.counters();
  std::set<ReplicaIndex> replicas;
  std::size_t sequences = 0, pages = 0;
  for (const SimStepper* stepper : world_.steppers()) {
    if (!replicas.insert(stepper->replica()).second)
      violation("replica " + std::to_string(stepper->replica()) + " has two KV caches");
    const std::string wrong = stepper->audit();
    if (!wrong.empty()) violation(wrong);
    const std::uint64_t counted = counters.replica_pages_used[stepper->replica()];
    if (stepper->pages_used() != counted)
      violation("the pages of a replica are counted as " + std::to_string(counted) + ", but it uses " +
                std::to_string(stepper->pages_used()));
    const std::uint32_t running = counters.replica_requests_running[stepper->replica()];
    if (stepper->sequences() != running) {
      violation(std::to_string(stepper->sequences()) + " sequences are open on a replica for " +
                std::to_string(running) + " requests");
    }
    sequences += stepper->sequences();
    pages += stepper->pages_used();
  }
  if (sequences != counters.requests_running) {
    violation(std::to_string(sequences) + " sequences are open for " +
              std::to_string(counters.requests_running) + " running requests");
  }
  if (pages != counters.kv_pages_used) {
    violation("kv_pages_used says " + std::to_string(counters.kv_pages_used) + ", but it is " +
              std::to_string(pages));
  }
}

Tally Simulation::run() {
  world_.settle_instant();
  while (!drained_) {
    world_.elapse(look_every);
    const bool all_ended = arrived_ == scenario_.requests.size() && check_.alive() == 0;
    if (all_ended && asked_.empty()) drain();
    if (now() - check_.last_event() > silence_max && check_.alive() != 0) {
      violation("nothing has happened for " + std::to_string(silence_max.count()) + " s while " +
                std::to_string(check_.alive()) + " requests wait for their end");
    }
    if (now() - begin_ > 600s) violation("the router does not end");
  }
  world_.finish([this] { check_.finished(world_.counters()); });
  check_.tally.drafts = world_.counters().draft_tokens;
  check_.tally.drafts_accepted = world_.counters().draft_tokens_accepted;
  return check_.tally;
}

}  // namespace

Tally simulate(std::uint64_t seed, const std::shared_ptr<const Model>& model, bool trace) {
  return Simulation(seed, model, trace).run();
}

}  // namespace troupe::test
