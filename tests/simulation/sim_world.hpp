#pragma once
// Router, generators and batchers on CAF's deterministic scheduler, in virtual time. Which actor handles its
// next message is left to the dice, as on a machine with threads.

#include <cstdint>
#include <functional>
#include <memory>

#include "actors/counters.hpp"
#include "simulation/draws.hpp"
#include "simulation/scenario.hpp"
#include "simulation/toy_steps.hpp"

namespace troupe::test {

/// Whoever plays with a SimWorld: clients, mishaps and checks. All calls come from within elapse(),
/// settle_instant() or finish().
class SimObserver {
 public:
  virtual ~SimObserver() = default;

  // What the router says: Admission in the order of the submissions, the rest to the streams' sink.
  virtual void answered(const Admission& admission) = 0;
  virtual void drained() = 0;
  virtual void token(const StreamToken& m) = 0;
  virtual void end(const StreamEnd& m) = 0;
  virtual void error(const StreamError& m) = 0;

  /// Between any two messages.
  virtual void between_messages() = 0;
  /// Before a batcher starts; may throw, which fails the start.
  virtual void before_start() = 0;
  /// Within each step before it computes; may throw, which fails the step, and let time pass.
  virtual void within_step(const SimStepper& stepper, const StepBatch& batch) = 0;
  /// Others may share the beginning of a text from now on, as far as this.
  virtual void remembered(std::span<const Token> text) = 0;
  /// Nobody but a batcher in a step, or a generator that is held, has anything to handle.
  virtual void instant() = 0;
};

class SimWorld {
 public:
  /// Both references must outlive it.
  SimWorld(const Scenario& scenario, const std::shared_ptr<const Model>& model, Draws& draws,
           SimObserver& observer);
  ~SimWorld();  ///< only after finish()
  SimWorld(const SimWorld&) = delete;
  SimWorld& operator=(const SimWorld&) = delete;

  // ---- time ----
  TimePoint now() const;
  /// Lets time pass, and whatever becomes due meanwhile happen.
  void elapse(SimTime time);
  /// The time of a step. Where it began within another one it is on its stack, and so ends with it at the
  /// latest; and where a step is over, no batcher begins another before it has returned.
  void elapse_step(SimTime time);
  bool within_step() const;
  void settle_instant();
  void at(TimePoint time, std::function<void()> act);
  bool idle() const;  ///< nobody has a message

  // ---- what clients send ----
  void submit(Submission submission);  ///< the tag names the stream; the sink is the world's
  void consumed(RequestId id, std::uint32_t tokens);
  void cancel(RequestId id);
  void drain(std::uint32_t drain_ms);

  // ---- what happens to actors; counted from the first that was spawned ----
  std::size_t generators() const;
  std::size_t batchers() const;
  void kill_generator(std::size_t i);
  void kill_batcher(std::size_t i);
  void hold_generator(std::size_t i, SimTime time);  ///< it handles nothing meanwhile

  /// Plays what is still to happen, calls `check`, lets go of everything and waits for all timers: what is
  /// still there afterwards is a violation().
  void finish(const std::function<void()>& check);

  const Counters& counters() const;
  const std::set<const SimStepper*>& steppers() const;  ///< that are alive

 private:
  struct State;  // CAF's: too heavy for a header
  std::unique_ptr<State> state_;
};

}  // namespace troupe::test
