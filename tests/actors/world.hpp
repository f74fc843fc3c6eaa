#pragma once
// Router, generators and batchers with a toy model on CAF's deterministic scheduler: nothing runs unless the
// test says so, and time passes only when it says so.

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "actors/batcher.hpp"
#include "actors/event_sink.hpp"
#include "actors/generator.hpp"
#include "actors/router.hpp"
#include "support/toy_model.hpp"

namespace troupe::test {

/// Logits as a function of a sequence's tokens alone, and steps that fail on demand. What it counts lives in
/// a Ledger that the test keeps.
struct Ledger {
  std::map<SequenceId, std::vector<Token>> open;  // sequences and what they hold
  std::size_t pages_max = 0;                      // what they must fit into
  int steppers = 0;
  std::uint64_t steps = 0;
  /// Texts of so many tokens that follow one another in a circle, mostly. 0: of all tokens, at random.
  std::size_t habit = 0;
  std::size_t rows_max = 0;                      // of one step
  std::vector<std::size_t> step_sequences;       // of each step
  std::size_t known = 0;                         // tokens that each sequence's beginning is reused of
  std::function<bool(const StepBatch&)> fails;   // whether a step throws
  std::function<void(const StepBatch&)> during;  // happens within a step
};

class ToyStepper final : public Stepper {
 public:
  ToyStepper(std::shared_ptr<Ledger> ledger, std::size_t vocab) : ledger_(std::move(ledger)), vocab_(vocab) {
    ledger_->open.clear();
    number_ = ++ledger_->steppers;
  }
  bool open(SequenceId id, std::size_t promised) override;
  void close(SequenceId id) override;
  std::size_t length(SequenceId id) const override { return ledger_->open.at(id).size(); }
  void truncate(SequenceId id, std::size_t length) override;
  std::size_t pages_used() const override;
  std::size_t reuse_prefix(SequenceId id, std::span<const Token> tokens) override;
  std::size_t pages_missing(SequenceId id, std::size_t tokens) const override;
  std::size_t pages_available() const override;
  std::shared_ptr<const LogitsBlock> run(const StepBatch& batch) override;

 private:
  std::shared_ptr<Ledger> ledger_;
  std::size_t vocab_;
  int number_ = 0;
};

/// One stream's events as a test sees them.
struct Record {
  std::vector<Token> tokens;
  std::string text;
  int ends = 0;  // StreamEnd or StreamError: must be 1
  std::optional<FinishReason> reason;
  std::optional<Error> error;
  Usage usage;
  Timings timings;
};

/// Without leases on readers and steps, so that settle() can wait for the end of all timers.
EngineOptions patient();
/// patient(), with so many generators.
EngineOptions pool_of(std::uint32_t pool_max);
/// The same with a queue that refuses nothing.
EngineOptions roomy(EngineOptions options);

class World {
 public:
  /// kv_pages_max: of each replica.
  explicit World(EngineOptions options = patient(), std::size_t kv_pages_max = 1000);
  ~World();

  /// Submits; runs nothing but what the answer needs. The tag names the record.
  Admission submit(Submission submission);
  static Submission request(std::size_t prompt_tokens, std::uint32_t max_tokens, std::uint64_t seed = 0);

  bool run_once();                  // false: nothing is ready
  void run();                       // until nothing is ready
  void run_steps(std::uint64_t n);  // until n more steps of the first replica have run, or nothing is ready
  void pass(std::chrono::milliseconds d);     // time alone
  void advance(std::chrono::milliseconds d);  // time, and everything that it wakes
  void settle();                              // run, passing time while timers are pending

  // These take effect at once.
  void wake_router();  // for what time has put into its mailbox
  void cancel(RequestId id);
  void kill(const GeneratorActor& generator);
  void kill(const BatcherActor& batcher);
  void kill_router();

  void consumed(RequestId id, std::uint32_t tokens);
  bool drain(std::uint32_t drain_ms);  // true when answered
  std::size_t actors_alive() const;
  TimePoint now();

  std::shared_ptr<const Model> model;
  std::shared_ptr<Counters> counters;
  std::vector<std::shared_ptr<Ledger>> ledgers;  // by replica
  std::shared_ptr<Ledger> ledger;                // the first one's
  std::map<StreamTag, Record> records;
  std::vector<GeneratorActor> generators;  // every one that was spawned
  std::vector<BatcherActor> batchers;
  std::vector<BatcherActor> batcher_of;  // by replica, the one that was spawned last

 private:
  struct System;  // CAF's: too heavy for a header
  std::unique_ptr<System> system_;
  StreamReader sink_;
  RouterActor router_;
  StreamTag next_tag_ = 1;
};

/// What `count` requests answer when nothing disturbs them.
std::map<StreamTag, Record> undisturbed(std::size_t count, std::uint32_t max_tokens);
/// Each stream has ended once, and as in `want`.
void check_same_answers(const std::map<StreamTag, Record>& got, const std::map<StreamTag, Record>& want);

}  // namespace troupe::test
