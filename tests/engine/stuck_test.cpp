// A step that hangs on a real thread: the company goes on without it, and can end without it.

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "engine/company.hpp"
#include "engine/company_load.hpp"
#include "support/catch.hpp"
#include "support/stepper_shell.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

class StepGate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

/// A real model whose third step hangs until the gate opens.
class HangingStepper final : public test::StepperShell {
 public:
  HangingStepper(std::unique_ptr<Stepper> real, std::shared_ptr<StepGate> gate)
      : StepperShell(std::move(real)), gate_(std::move(gate)) {}

  std::shared_ptr<const LogitsBlock> run(const StepBatch& batch) override {
    if (++steps_ == 3) gate_->pass();
    return StepperShell::run(batch);
  }

 private:
  std::shared_ptr<StepGate> gate_;
  int steps_ = 0;
};

std::shared_ptr<const Work> work_of(std::size_t i) {
  auto work = std::make_shared<Work>();
  work->prompt = {5, 6, static_cast<Token>(7 + i)};
  work->options.max_tokens = 20;
  work->options.ignore_eos = true;
  return work;
}

/// The answers of a company, whose first batcher hangs if there is a gate.
struct Answers {
  std::vector<std::vector<Token>> tokens;
  std::uint64_t step_stalls = 0;
};

Answers ask(const std::shared_ptr<StepGate>& gate) {
  EngineOptions options;
  options.step_stall_ms_max = 300;
  auto company = make_company(test::toy_model(), options);
  REQUIRE(company);
  if (gate) {
    auto& first = company->first_steppers->front();
    first = std::make_unique<HangingStepper>(std::move(first), gate);
  }
  const auto config = test::sharing_config();
  caf::actor_system system(*config);
  Answers answers;
  std::vector<std::shared_ptr<const Work>> works;
  for (std::size_t i = 0; i < 4; ++i) works.push_back(work_of(i));
  answers.tokens = test::answers_of(system, spawn_company(system, *company, false), works);
  answers.step_stalls = company->counters->step_stalls;
  if (gate) {
    CHECK_FALSE(await_end(system, *company->counters, 60'000));  // long before that
    CHECK(company->counters->stuck_batchers >= 1);
    gate->open();
    while (company->counters->stuck_batchers != 0) std::this_thread::sleep_for(1ms);
  }
  CHECK(await_end(system, *company->counters, 60'000));
  return answers;
}

}  // namespace

TEST_CASE("a step that hangs on its thread costs its requests a replay, and the company can end without it",
          "[engine]") {
  const Answers want = ask(nullptr);
  const Answers got = ask(std::make_shared<StepGate>());
  CHECK(got.tokens == want.tokens);
  CHECK(got.step_stalls >= 1);
}
