// A step that hangs on a real thread: the company goes on without it, and can end without it.

#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "actors/event_sink.hpp"
#include "engine/company.hpp"
#include "engine/listeners.hpp"
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

class SharingConfig : public caf::actor_system_config {
 public:
  SharingConfig() {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{2});
  }
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
  SharingConfig config;
  caf::actor_system system(config);
  Answers answers;
  {
    const EventSinkActor sink = spawn_event_sink(system);
    const RouterActor router = spawn_company(system, *company, false);
    const auto inbox = std::make_shared<BatchInbox>();
    caf::scoped_actor self(system);
    constexpr std::size_t count = 4;
    for (std::size_t i = 0; i < count; ++i) {
      Submission submission;
      submission.work = work_of(i);
      submission.sink = sink;
      submission.tag = i + 1;
      caf::anon_send(sink, Attach{submission.tag, std::make_shared<BatchListener>(inbox, i)});
      self->request(router, caf::infinite, std::move(submission))
          .receive([](const Admission& a) { REQUIRE_FALSE(a.refusal); }, [](caf::error&) { REQUIRE(false); });
    }
    answers.tokens.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      auto item = inbox->take(std::nullopt);
      REQUIRE(item->result);
      answers.tokens[item->index] = item->result->tokens;
    }
    self->request(router, caf::infinite, Drain{0})
        .receive([](Drained) {}, [](caf::error&) { REQUIRE(false); });
    caf::anon_send(sink, Quit{});
  }
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
