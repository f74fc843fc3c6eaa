// A batcher whose KV cache is full: who waits, and for what.

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/exit_reason.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>

#include "actors/world.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// A batcher on CAF's deterministic scheduler, and one who asks it for everybody.
class Stage {
 public:
  explicit Stage(std::size_t pages_max) {
    ledger->pages_max = pages_max;
    BatcherConfig batcher_config;
    batcher_config.counters = std::make_shared<Counters>();
    batcher_config.lease = std::make_shared<StepLease>();
    batcher_config.detached = false;
    batcher_config.make_stepper = [ledger = ledger] {
      constexpr std::size_t vocab = 16;
      return std::make_unique<test::ToyStepper>(ledger, vocab);
    };
    batcher_ = spawn_batcher(system_, batcher_config);
    generator_ = system_.spawn([this]() -> GeneratorActor::behavior_type {
      return {[](const Assignment&) {},
              [](const Credit&) {},
              [](const Abandon&) {},
              [this](const LogitsRows& m) { rows[m.sequence] += m.count; },
              [](const StepFailure&) { FAIL(); },
              [](const Quit&) {}};
    });
    run();
  }
  ~Stage() {
    caf::anon_send(batcher_, Quit{});
    caf::anon_send_exit(generator_, caf::exit_reason::user_shutdown);
    run();
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  void open(SequenceId sequence) { send(OpenSequence{sequence, 0}); }
  void close(SequenceId sequence) { send(CloseSequence{sequence}); }
  void park(SequenceId sequence, std::size_t length) { send(Park{sequence, length}); }
  /// For `tokens` behind the first `length`.
  void ask(SequenceId sequence, std::size_t length, std::size_t tokens, std::size_t drafts = 0) {
    Ask ask;
    ask.sequence = sequence;
    ask.length = length;
    ask.tokens.assign(tokens, 5);
    ask.drafts.assign(drafts, 5);
    ask.draft_rate = 1;
    send(std::move(ask));
  }

  std::shared_ptr<test::Ledger> ledger = std::make_shared<test::Ledger>();
  std::map<SequenceId, std::size_t> rows;  // of logits, by sequence

 private:
  struct Config : caf::actor_system_config {
    Config() { set("scheduler.policy", caf::atom("testing")); }
  };

  template <class Message>
  void send(Message message) {
    caf::send_as(generator_, batcher_, std::move(message));
    run();
  }
  /// All that happens, waiting for those who do not answer included.
  void run() {
    auto& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
    scheduler.run();
    while (scheduler.has_pending_timeout()) {
      scheduler.advance_time(10ms);
      scheduler.run();
    }
  }

  Config config_;
  caf::actor_system system_{config_};
  BatcherActor batcher_;
  GeneratorActor generator_;
};

}  // namespace

TEST_CASE("rows for which there are no pages wait until a sequence is closed, and others go on meanwhile",
          "[actors]") {
  Stage stage(2);
  stage.open(1);
  stage.open(2);
  stage.ask(1, 0, 40);
  CHECK(stage.rows[1] == 1);
  stage.ask(2, 0, 3);
  CHECK(stage.rows[2] == 0);
  stage.ask(1, 40, 1);
  CHECK(stage.rows[1] == 2);
  CHECK(stage.rows[2] == 0);
  stage.park(1, 41);
  CHECK(stage.rows[2] == 0);
  stage.close(1);
  CHECK(stage.rows[2] == 1);
  CHECK(stage.ledger->open.at(2).size() == 3);
}

TEST_CASE("pages that guesses give back go to those who wait for them", "[actors]") {
  Stage stage(4);
  stage.open(1);
  stage.open(2);
  stage.ask(1, 0, 31);
  stage.ask(1, 31, 1, 3);
  REQUIRE(stage.rows[1] == 1 + 4);
  REQUIRE(stage.ledger->open.at(1).size() == 35);  // one page more
  stage.ask(2, 0, 70);
  CHECK(stage.rows[2] == 0);
  stage.park(1, 32);
  CHECK(stage.rows[2] == 1);
}

TEST_CASE("guesses take a new page only if one is left for each sequence", "[actors]") {
  for (const std::size_t pages : {3, 4}) {
    INFO(pages << " pages");
    Stage stage(pages);
    stage.open(1);
    stage.open(2);
    stage.ask(1, 0, 20);
    stage.ask(1, 20, 1, 3);
    CHECK(stage.rows[1] == 1 + 4);  // within the page that it has
    stage.ask(1, 24, 5);
    stage.ask(1, 29, 1, 7);
    CHECK(stage.rows[1] == 1 + 4 + 1 + (pages == 4 ? 8 : 3));
  }
}
