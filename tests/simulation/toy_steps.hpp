#pragma once
// A model that is quick and hard to fool: its logits are a function of the tokens that it reads back from the
// pages of a real KV cache. So a page that is shared, freed or counted wrongly shows in the answer.

#include <functional>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "actors/messages.hpp"
#include "actors/placement.hpp"
#include "actors/stepper.hpp"
#include "model/kv_cache.hpp"
#include "troupe/model.hpp"

namespace troupe::test {

/// A step with this token in a row fails, each time. Answers never contain it.
constexpr Token poison = 284;

class SimStepper;

/// Where a test watches the steppers of its batchers.
struct StepperWatch {
  std::set<const SimStepper*> alive;
  /// Called within each step before it computes; may throw, which fails the step, and let time pass.
  std::function<void(const SimStepper&, const StepBatch&)> during;
  /// Called with the beginning of a text whenever others may share more of it from then on.
  std::function<void(std::span<const Token>)> remembered;
};

class SimStepper final : public Stepper {
 public:
  SimStepper(std::shared_ptr<StepperWatch> watch, ReplicaIndex replica, std::size_t pages_max,
             std::size_t vocab, std::size_t habit);
  ~SimStepper() override;
  SimStepper(const SimStepper&) = delete;
  SimStepper& operator=(const SimStepper&) = delete;

  bool open(SequenceId id, std::size_t promised) override;
  void close(SequenceId id) override;
  std::size_t length(SequenceId id) const override { return cache_.length(id); }
  void truncate(SequenceId id, std::size_t length) override { cache_.truncate(id, length); }
  std::size_t reuse_prefix(SequenceId id, std::span<const Token> tokens) override;
  void remember(SequenceId id, std::span<const Token> tokens) override;
  std::shared_ptr<const LogitsBlock> run(const StepBatch& batch) override;
  std::size_t pages_used() const override { return cache_.pages_used(); }
  std::size_t pages_missing(SequenceId id, std::size_t tokens) const override {
    return cache_.pages_missing(id, tokens);
  }
  std::size_t pages_available() const override { return cache_.pages_available(); }

  ReplicaIndex replica() const { return replica_; }
  std::size_t sequences() const { return promised_.size(); }
  /// What the pages of an open sequence hold.
  std::vector<Token> stored(SequenceId id) const;
  /// What is wrong with the accounting of the cache. Empty when all pages in use are held by the open
  /// sequences, and there are pages for all that was promised.
  std::string audit() const;

 private:
  std::shared_ptr<StepperWatch> watch_;
  ReplicaIndex replica_;
  std::size_t vocab_;
  std::size_t habit_;
  KvCache cache_;
  std::unordered_map<SequenceId, std::size_t> promised_;    // positions, to the open sequences
  std::unordered_map<SequenceId, std::size_t> remembered_;  // of their tokens
};

/// What a request answers when nobody disturbs it: computed without any actor, batch or cache.
struct SoloAnswer {
  std::vector<Token> tokens;
  std::string text;
  FinishReason reason = FinishReason::stop;
};
SoloAnswer solo_answer(const Model& model, const Work& work, std::uint32_t context_tokens, std::size_t habit);

}  // namespace troupe::test
