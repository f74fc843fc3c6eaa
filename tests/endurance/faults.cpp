#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <thread>

#include "endurance/load.hpp"
#include "endurance/runs.hpp"
#include "endurance/violation.hpp"

namespace troupe::test {
namespace {

using namespace std::chrono_literals;
using Clock = StepBook::Clock;

constexpr std::size_t streams = 24;  // at a time; a third of them runs
/// Tokens of each stream that ran: more than can have been on their way to the client when the fault came.
constexpr std::size_t tokens_after = 3;

enum class Fault : std::uint8_t { generator, batcher, step, several };
constexpr const char* fault_names[] = {"generators killed", "batchers killed", "steps failed",
                                       "several at once"};

/// From a fault until every stream that was running has got on. What had been sent before the fault, the
/// backlog of the client, is nothing to go by.
class Recovery {
 public:
  void begin(Clock::time_point when, const std::map<std::uint64_t, Answer>& answers) {
    began_ = when;
    for (const auto& [number, answer] : answers) {
      if (!answer.ended() && !answer.tokens.empty()) awaited_[number] = answer.tokens.size() + tokens_after;
    }
  }
  bool running() const { return !awaited_.empty(); }
  /// True when that was the last that was awaited.
  bool see(std::uint64_t number, const Answer& answer) {
    const auto found = awaited_.find(number);
    if (found == awaited_.end() || (!answer.ended() && answer.tokens.size() < found->second)) return false;
    awaited_.erase(found);
    return awaited_.empty();
  }
  double ms() const { return std::chrono::duration<double, std::milli>(Clock::now() - began_).count(); }

 private:
  Clock::time_point began_{};
  std::map<std::uint64_t, std::size_t> awaited_;  // how many tokens it is to have
};

class FaultyLoad {
 public:
  FaultyLoad(const std::shared_ptr<const Model>& model, const EngineOptions& options,
             const std::shared_ptr<StepBook>& book, const FaultRun& run)
      : run_(run), draws_(run.seed, 5), book_(book), load_(model, options, book) {}

  void play();
  const Load& load() const { return load_; }
  std::uint64_t submitted() const { return submitted_; }

  std::map<Fault, std::vector<double>> times_ms;  // back in service after each

 private:
  void disturb();
  void note(std::uint64_t number);

  const FaultRun& run_;
  Draws draws_;
  std::shared_ptr<StepBook> book_;
  Load load_;
  Recovery recovery_;
  Fault fault_ = Fault::generator;
  bool step_armed_ = false;
  Clock::time_point next_fault_ = Clock::now();
  std::uint64_t submitted_ = 0;
  std::uint64_t quiet_events_ = 0;  // before the next fault
  std::uint64_t faults_ = 0;
  std::uint64_t deaths_ = 0;  // of actors
};

void FaultyLoad::play() {
  for (;;) {
    const bool over = faults_ >= run_.faults && !recovery_.running() && !step_armed_;
    while (!over && load_.outstanding() < streams) load_.submit(++submitted_);
    if (over && load_.outstanding() == 0) break;
    note(load_.next());
    if (over || recovery_.running() || step_armed_ || Clock::now() < next_fault_) continue;
    if (quiet_events_ != 0) {
      --quiet_events_;
    } else if (load_.backlog() == 0) {  // what was sent before a fault says nothing of what follows it
      disturb();
      quiet_events_ = draws_.between(0, 60);
    }
  }
  load_.check_gauges();
  if (load_.restarts() != deaths_)
    violation(std::to_string(deaths_) + " actors were killed, but " + std::to_string(load_.restarts()) +
              " restarted");
}

void FaultyLoad::disturb() {
  ++faults_;
  const double kind = draws_.uniform();
  fault_ = kind < 0.5   ? Fault::generator
           : kind < 0.7 ? Fault::batcher
           : kind < 0.9 ? Fault::step
                        : Fault::several;
  // The default budget has room for 100 restarts in 10 s.
  if (run_.default_budget) next_fault_ = Clock::now() + (fault_ == Fault::several ? 400ms : 101ms);
  if (fault_ == Fault::step) {
    book_->fail_a_step(draws_.chance(0.5));
    step_armed_ = true;
    return;
  }
  const Clock::time_point now = Clock::now();
  if (fault_ != Fault::batcher) deaths_ += load_.kill_generator(draws_);
  if (fault_ != Fault::generator) deaths_ += load_.kill_batcher();
  if (fault_ == Fault::several) deaths_ += load_.kill_generator(draws_);
  recovery_.begin(now, load_.answers());
}

void FaultyLoad::note(std::uint64_t number) {
  if (step_armed_) {
    if (const auto when = book_->take_failure()) {
      step_armed_ = false;
      recovery_.begin(*when, load_.answers());
    }
  }
  if (recovery_.see(number, load_.answers().at(number))) times_ms[fault_].push_back(recovery_.ms());
}

void print(const char* what, std::vector<double> ms) {
  if (ms.empty()) return;
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double p) {
    return ms[static_cast<std::size_t>(p * static_cast<double>(ms.size() - 1))];
  };
  std::printf("  %-18s %6zu times; in service again after ms: P50 %.2f, P99 %.2f, max %.2f\n", what,
              ms.size(), at(0.5), at(0.99), ms.back());
}

}  // namespace

void run_faults(const std::shared_ptr<const Model>& model, const FaultRun& run) {
  EngineOptions options;
  options.replays_max = 1'000'000;
  if (!run.default_budget) {
    options.restarts_max = 1'000'000;
    options.restart_backoff_ms = 0;
  }
  const auto book = std::make_shared<StepBook>();
  FaultyLoad disturbed(model, options, book, run);
  disturbed.play();

  const std::uint64_t compared = book->rows_compared();
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t number = 1; number <= disturbed.submitted(); ++number) numbers.push_back(number);
  const auto want = undisturbed(model, book, numbers);
  for (const auto& [number, answer] : disturbed.load().answers()) {
    const Answer& calm = want.at(number);
    if (answer.tokens != calm.tokens || answer.text != calm.text || answer.reason != calm.reason)
      violation("request " + std::to_string(number) + " answers differently when it is disturbed");
  }
  std::printf("%" PRIu64 " requests answered as if undisturbed, %" PRIu64
              " replays; rows of logits compared: %" PRIu64 " replayed, %" PRIu64
              " with the undisturbed run\n",
              disturbed.submitted(), disturbed.load().replays(), compared, book->rows_compared() - compared);
  std::vector<double> all;
  for (const auto& [fault, times] : disturbed.times_ms) {
    print(fault_names[static_cast<std::size_t>(fault)], times);
    all.insert(all.end(), times.begin(), times.end());
  }
  print("all", all);
}

}  // namespace troupe::test
