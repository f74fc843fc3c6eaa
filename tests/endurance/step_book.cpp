#include "endurance/step_book.hpp"

#include <algorithm>
#include <cstring>
#include <set>
#include <stdexcept>
#include <string>

#include "endurance/violation.hpp"
#include "support/stepper_shell.hpp"

namespace troupe::test {
namespace {

// Any vocabulary has these.
constexpr Token digit_first = 3;
constexpr std::uint64_t digits = 250;
// A row is a kilobyte and more, so not every request's are kept.
constexpr std::uint64_t kept_of = 8;

std::uint64_t read_number(std::span<const Token> tokens) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < number_tokens; ++i)
    number = number * digits + static_cast<std::uint64_t>(tokens[i] - digit_first);
  return number;
}

class WatchedStepper final : public StepperShell {
 public:
  WatchedStepper(std::unique_ptr<Stepper> real, std::shared_ptr<StepBook> book)
      : StepperShell(std::move(real)), book_(std::move(book)) {}

  void close(SequenceId id) override {
    StepperShell::close(id);
    book_->closed(id);
  }

  std::size_t reuse_prefix(SequenceId id, std::span<const Token> tokens) override {
    book_->begins(id, tokens);
    return StepperShell::reuse_prefix(id, tokens);
  }

  std::shared_ptr<const LogitsBlock> run(const StepBatch& batch) override {
    const StepBook::Fate fate = book_->step(batch);
    if (fate == StepBook::Fate::fails_before) throw std::runtime_error("the step was told to fail");
    auto logits = StepperShell::run(batch);
    book_->computed(batch, *logits);
    if (fate == StepBook::Fate::fails_behind) throw std::runtime_error("the step was told to fail late");
    return logits;
  }

 private:
  std::shared_ptr<StepBook> book_;
};

}  // namespace

std::vector<Token> spell_number(std::uint64_t number) {
  std::vector<Token> tokens(number_tokens);
  for (std::size_t i = number_tokens; i-- > 0; number /= digits)
    tokens[i] = digit_first + static_cast<Token>(number % digits);
  return tokens;
}

void StepBook::begin_run() {
  const std::lock_guard lock(mutex_);
  texts_.clear();
  counted_from_.clear();
  armed_.reset();
  failed_.reset();
}

void StepBook::fail_a_step(bool behind) {
  const std::lock_guard lock(mutex_);
  armed_ = behind ? Fate::fails_behind : Fate::fails_before;
}

std::optional<StepBook::Clock::time_point> StepBook::take_failure() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failed_, std::nullopt);
}

void StepBook::count_steps_of(std::uint64_t number) {
  const std::lock_guard lock(mutex_);
  counted_from_.emplace(number, steps_);
}

std::vector<std::size_t> StepBook::step_counts() const {
  const std::lock_guard lock(mutex_);
  return step_counts_;
}

std::uint64_t StepBook::rows_compared() const {
  const std::lock_guard lock(mutex_);
  return rows_compared_;
}

std::uint64_t StepBook::steps() const {
  const std::lock_guard lock(mutex_);
  return steps_;
}

void StepBook::begins(SequenceId id, std::span<const Token> tokens) {
  const std::lock_guard lock(mutex_);
  texts_[id] = {read_number(tokens), {tokens.begin(), tokens.end()}};
}

StepBook::Fate StepBook::step(const StepBatch& batch) {
  std::set<SequenceId> sequences;
  for (const StepRow& row : batch.rows) sequences.insert(row.sequence);
  const std::lock_guard lock(mutex_);
  ++steps_;
  // A request that is suspected of breaking steps runs alone: a second failure would be held against it.
  if (!armed_ || sequences.size() < 2) return Fate::runs;
  failed_ = Clock::now();
  return *std::exchange(armed_, std::nullopt);
}

void StepBook::computed(const StepBatch& batch, const LogitsBlock& logits) {
  const std::lock_guard lock(mutex_);
  std::size_t next = 0;
  for (const StepRow& row : batch.rows) {
    Text& text = texts_.at(row.sequence);
    text.tokens.resize(row.position);
    text.tokens.push_back(row.token);
    if (!row.wants_logits) continue;
    const std::span<const float> values = logits.row(next++);
    if (text.number % kept_of != 0) continue;
    std::uint64_t hash = 1469598103934665603U;
    for (const Token token : text.tokens) hash = (hash ^ static_cast<std::uint64_t>(token)) * 1099511628211U;
    const auto [kept, fresh] = rows_.try_emplace({text.number, hash}, values.begin(), values.end());
    if (fresh) continue;
    ++rows_compared_;
    if (std::memcmp(kept->second.data(), values.data(), values.size_bytes()) != 0) {
      violation("request " + std::to_string(text.number) + " has other logits at position " +
                std::to_string(row.position) + " than the last time");
    }
  }
}

void StepBook::closed(SequenceId id) {
  const std::lock_guard lock(mutex_);
  const auto text = texts_.find(id);
  if (text == texts_.end()) return;
  const auto from = counted_from_.find(text->second.number);
  if (from != counted_from_.end()) {
    const std::size_t steps = steps_ - from->second;
    if (step_counts_.size() <= steps) step_counts_.resize(steps + 1);
    ++step_counts_[steps];
  }
  texts_.erase(text);
}

std::unique_ptr<Stepper> watched(std::unique_ptr<Stepper> real, std::shared_ptr<StepBook> book) {
  return std::make_unique<WatchedStepper>(std::move(real), std::move(book));
}

}  // namespace troupe::test
