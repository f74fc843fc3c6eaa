#pragma once
// Around a real stepper, for tests that watch or break some of what it does.

#include <memory>

#include "actors/stepper.hpp"

namespace troupe::test {

class StepperShell : public Stepper {
 public:
  explicit StepperShell(std::unique_ptr<Stepper> real) : real_(std::move(real)) {}

  bool open(SequenceId id, std::size_t promised) override { return real_->open(id, promised); }
  void close(SequenceId id) override { real_->close(id); }
  std::size_t length(SequenceId id) const override { return real_->length(id); }
  void truncate(SequenceId id, std::size_t length) override { real_->truncate(id, length); }
  std::size_t reuse_prefix(SequenceId id, std::span<const Token> tokens) override {
    return real_->reuse_prefix(id, tokens);
  }
  void remember(SequenceId id, std::span<const Token> tokens) override { real_->remember(id, tokens); }
  std::size_t pages_used() const override { return real_->pages_used(); }
  std::size_t pages_missing(SequenceId id, std::size_t tokens) const override {
    return real_->pages_missing(id, tokens);
  }
  std::size_t pages_available() const override { return real_->pages_available(); }
  std::shared_ptr<const LogitsBlock> run(const StepBatch& batch) override { return real_->run(batch); }

 private:
  std::unique_ptr<Stepper> real_;
};

}  // namespace troupe::test
