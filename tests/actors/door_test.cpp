// What stands between embedders and the router: the gate, and the sink of their streams.

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/exit_reason.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>

#include "actors/event_sink.hpp"
#include "actors/gate.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"

using namespace troupe;

namespace {

class Listener final : public StreamListener {
 public:
  void on_token(TokenEvent) override {
    ++tokens;
    if (throws) throw 7;  // no std::exception
  }
  void on_end(FinishReason, const Usage&, const Timings&) override { ++ends; }
  void on_error(Error e) override {
    ++ends;
    error = std::move(e);
  }

  bool throws = false;
  int tokens = 0;
  int ends = 0;
  std::optional<Error> error;
};

/// A sink on CAF's deterministic scheduler.
struct Sink {
  struct Config : caf::actor_system_config {
    Config() { set("scheduler.policy", caf::atom("testing")); }
  };

  std::shared_ptr<Listener> listen(StreamTag tag) {
    auto listener = std::make_shared<Listener>();
    caf::anon_send(actor, Attach{tag, listener});
    return listener;
  }
  void run() { dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler()).run(); }

  Config config;
  caf::actor_system system{config};
  EventSinkActor actor = spawn_event_sink(system);
};

}  // namespace

TEST_CASE("the gate refuses for the router while its queue is full, and counts it", "[actors]") {
  const auto counters = std::make_shared<Counters>();
  const auto gate = std::make_shared<Gate>(counters, EngineOptions{});
  CHECK(gate->enter());
  CHECK_FALSE(gate->queue_full());
  counters->queue_retry_ms = 70;
  counters->requests_queued = 12;
  const auto refused = gate->enter();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::queue_full);
  CHECK(refused.error().retry_after_ms == 70);
  CHECK_HAS(refused.error().message, "12 requests");
  CHECK(gate->queue_full());
  CHECK(counters->stats().requests_refused == 2);
}

TEST_CASE("no more requests are being encoded than could wait and run", "[actors]") {
  EngineOptions options;
  options.queue_requests_max = 3;
  options.pool_max = 2;
  const auto gate = std::make_shared<Gate>(std::make_shared<Counters>(), options);
  std::vector<std::shared_ptr<const Gate::Place>> places;
  for (int i = 0; i < 5; ++i) places.push_back(gate->enter().value());
  const auto refused = gate->enter();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::queue_full);
  CHECK(refused.error().retry_after_ms > 0);
  places.pop_back();
  CHECK(gate->enter());
}

TEST_CASE("a reader that throws whatever loses its stream, and no other does", "[actors]") {
  Sink sink;
  const auto bad = sink.listen(1), good = sink.listen(2);
  bad->throws = true;
  for (const StreamTag tag : {1, 2, 1, 2}) caf::anon_send(sink.actor, StreamToken{tag, 10 + tag, {}});
  sink.run();
  CHECK(bad->tokens == 1);
  CHECK(bad->ends == 1);
  REQUIRE(bad->error);
  CHECK_HAS(bad->error->message, "the reader of the stream failed");
  CHECK(good->tokens == 2);
  CHECK(good->ends == 0);
  caf::anon_send(sink.actor, Quit{});
  sink.run();
}

TEST_CASE("however the sink ends, each open stream ends with it, once", "[actors]") {
  Sink sink;
  const auto listener = sink.listen(1);
  sink.run();
  SECTION("killed") {
    caf::anon_send_exit(sink.actor, caf::exit_reason::kill);
  }
  SECTION("told to") {
    caf::anon_send(sink.actor, Quit{});
  }
  sink.run();
  sink.actor = nullptr;
  CHECK(listener->ends == 1);
  CHECK(listener->error);
}
