// actors.hpp as a program of CAF actors uses it.

#include "troupe/actors.hpp"

#include <caf/all.hpp>
#include <thread>

#include "engine/troupe_actor.hpp"
#include "support/catch.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

GenerationRequest request(const std::string& prompt, std::uint32_t max_tokens, std::uint64_t seed = 0) {
  GenerationRequest r;
  r.prompt = prompt;
  r.options.max_tokens = max_tokens;
  r.options.ignore_eos = true;
  r.options.sampling.seed = seed;
  return r;
}

Generation alone(const GenerationRequest& wanted) {
  auto engine = Engine::start(test::toy_model());
  REQUIRE(engine);
  auto answer = (*engine)->generate(wanted).get();
  REQUIRE(answer);
  return *answer;
}

struct Config : caf::actor_system_config {
  Config() {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{4});
    render_errors(*this);
  }
};

/// A system of the embedder, with a troupe and one client.
struct Theatre {
  explicit Theatre(const EngineOptions& options = {}) : self(system) {
    auto spawned = spawn_troupe(system, test::toy_model(), options);
    REQUIRE(spawned);
    troupe = *spawned;
  }

  EngineStats stats() {
    EngineStats numbers;
    self->request(troupe, 30s, GetStats{})
        .receive([&](const EngineStats& s) { numbers = s; },
                 [&](const caf::error& e) { FAIL(to_string(e)); });
    return numbers;
  }

  /// Until nothing is queued or runs, and no KV page is held.
  void wait_until_idle() {
    for (int i = 0; i < 5000; ++i) {
      const EngineStats s = stats();
      if (s.requests_running == 0 && s.requests_queued == 0 && s.kv_pages_used == 0) return;
      std::this_thread::sleep_for(1ms);
    }
    FAIL("the troupe is still busy");
  }

  RequestId open(const GenerationRequest& wanted, StreamTag tag, std::uint32_t window = 0) {
    RequestId id = 0;
    self->request(troupe, 30s, OpenStream{wanted, caf::actor_cast<StreamReader>(self), tag, window})
        .receive(
            [&](const StreamOpened& m) {
              CHECK(m.tag == tag);
              id = m.request;
            },
            [&](const caf::error& e) { FAIL(to_string(e)); });
    return id;
  }

  /// Reads the client's one stream to its end, sending credit for each token.
  Generation read(RequestId id) {
    Generation answer;
    bool ended = false;
    while (!ended) {
      self->receive(
          [&](const StreamToken& m) {
            CHECK(m.request == id);
            answer.text += m.event.text;
            if (m.event.token == no_token) return;
            answer.tokens.push_back(m.event.token);
            self->send(troupe, Consumed{id, 1});
          },
          [&](const StreamEnd& m) {
            ended = true;
            answer.finish_reason = m.reason;
            answer.usage = m.usage;
          },
          [&](const StreamError& m) { FAIL(m.error.message); },
          caf::after(30s) >> [&] { FAIL("the stream stands still"); });
    }
    return answer;
  }

  std::optional<Error> refusal(const GenerationRequest& wanted) {
    std::optional<Error> refused;
    self->request(troupe, 30s, wanted)
        .receive([](const Generation&) {}, [&](const caf::error& e) { refused = error_of(e); });
    return refused;
  }

  Config config;
  caf::actor_system system{config};
  caf::scoped_actor self;
  TroupeActor troupe;
};

EngineOptions one_place() {
  EngineOptions options;
  options.pool_max = 1;
  return options;
}

/// Asks for an answer, and lives until it is told to end.
caf::behavior asker(caf::event_based_actor* self, const TroupeActor& troupe,
                    const GenerationRequest& wanted) {
  self->request(troupe, caf::infinite, wanted).then([](const Generation&) {});
  return {[](int) {}};
}

/// Opens a stream, and sends `who` the first token that it gets.
caf::behavior reader(caf::event_based_actor* self, const TroupeActor& troupe, const GenerationRequest& wanted,
                     const caf::actor& who) {
  OpenStream open;
  open.request = wanted;
  open.reader = caf::actor_cast<StreamReader>(self);
  open.window_tokens = 4;
  self->request(troupe, caf::infinite, open).then([](const StreamOpened&) {});
  return {
      [self, who](const StreamToken& m) {
        if (m.event.index == 0) self->send(who, int{1});
      },
      [](const StreamEnd&) {},
      [](const StreamError&) {},
  };
}

}  // namespace

TEST_CASE("a request to the troupe is answered with the answer that the engine gives", "[actors]") {
  Theatre theatre;
  const Generation want = alone(request("hello", 30));
  theatre.self->request(theatre.troupe, 30s, request("hello", 30))
      .receive(
          [&](const Generation& answer) {
            CHECK(answer.tokens == want.tokens);
            CHECK(answer.text == want.text);
            CHECK(answer.finish_reason == FinishReason::length);
            CHECK(answer.usage.completion_tokens == 30);
          },
          [](const caf::error& e) { FAIL(to_string(e)); });
  CHECK(theatre.stats().requests_finished == 1);
}

TEST_CASE("a long prompt is encoded elsewhere and refused with both counts", "[actors]") {
  Theatre theatre;
  const auto refused = theatre.refusal(request(std::string(100'000, 'x'), 5));
  REQUIRE(refused);
  CHECK(refused->code == Errc::context_exceeded);
  CHECK(refused->message.find("512") != std::string::npos);
}

TEST_CASE("errors keep their fields inside CAF's, and can be rendered", "[actors]") {
  const Error full{Errc::queue_full, "the queue is full", 17};
  const caf::error wrapped = make_error(full);
  REQUIRE(error_of(wrapped));
  CHECK(error_of(wrapped)->code == Errc::queue_full);
  CHECK(error_of(wrapped)->message == full.message);
  CHECK(error_of(wrapped)->retry_after_ms == 17);
  CHECK_FALSE(error_of(caf::make_error(caf::sec::runtime_error)));
  CHECK_FALSE(error_of(caf::error()));
  Theatre theatre;
  CHECK(theatre.system.render(wrapped) == "queue_full: the queue is full");
  EngineOptions bad;
  bad.pool_max = 0;
  CHECK(spawn_troupe(theatre.system, test::toy_model(), bad).error().code == Errc::bad_argument);
  auto no_reader = OpenStream{};
  theatre.self->request(theatre.troupe, 30s, no_reader)
      .receive([](const StreamOpened&) { FAIL("opened for nobody"); },
               [](const caf::error& e) { CHECK(error_of(e)->code == Errc::bad_argument); });
}

TEST_CASE("a stream is opened first, then sends its tokens, then one end", "[actors]") {
  Theatre theatre;
  const RequestId id = theatre.open(request("hello", 50), 7);
  const Generation answer = theatre.read(id);
  const Generation want = alone(request("hello", 50));
  CHECK(answer.tokens == want.tokens);
  CHECK(answer.text == want.text);
  CHECK(answer.usage.completion_tokens == 50);
  CHECK_FALSE(theatre.self->has_next_message());
}

TEST_CASE("a reader without credit is sent its window and no more", "[actors]") {
  Theatre theatre;
  const RequestId id = theatre.open(request("slow", 40), 1, 8);
  // Another answer takes its time meanwhile: the slow one had enough for all of its own.
  REQUIRE_FALSE(theatre.refusal(request("fast", 300)));
  CHECK(theatre.self->mailbox().count() == 8);
  theatre.self->send(theatre.troupe, Consumed{id, 3});
  REQUIRE_FALSE(theatre.refusal(request("fast", 300)));
  CHECK(theatre.self->mailbox().count() == 11);
  theatre.self->send(theatre.troupe, Consumed{id, 4'000'000'000U});  // more than it was sent counts as that
  REQUIRE_FALSE(theatre.refusal(request("fast", 300)));
  CHECK(theatre.self->mailbox().count() == 19);
  theatre.self->send(theatre.troupe, Consumed{12345, 1});  // nobody's
  theatre.self->send(theatre.troupe, Consumed{id, 8});
  CHECK(theatre.read(id).tokens == alone(request("slow", 40)).tokens);
}

TEST_CASE("a reader that stops giving credit loses its stream, not its life", "[actors]") {
  EngineOptions options;
  options.reader_stall_ms_max = 20;
  Theatre theatre(options);
  const RequestId id = theatre.open(request("slow", 200), 9, 4);
  bool ended = false;
  while (!ended) {
    theatre.self->receive([](const StreamToken&) {}, [](const StreamEnd&) { FAIL("it ended well"); },
                          [&](const StreamError& m) {
                            ended = true;
                            CHECK(m.request == id);
                            CHECK(m.tag == 9);
                            CHECK(m.error.code == Errc::reader_stalled);
                          });
  }
  theatre.wait_until_idle();
}

TEST_CASE("a stream can be cancelled in the queue and while it runs", "[actors]") {
  Theatre theatre(one_place());
  const RequestId running = theatre.open(request("running", 400), 1, 4);
  const RequestId queued = theatre.open(request("queued", 400), 2);
  theatre.self->send<caf::message_priority::high>(theatre.troupe, Cancel{queued});
  theatre.self->send<caf::message_priority::high>(theatre.troupe, Cancel{running});
  std::set<StreamTag> ended;
  while (ended.size() < 2) {
    theatre.self->receive([](const StreamToken&) {},
                          [&](const StreamEnd& m) {
                            CHECK(m.reason == FinishReason::cancelled);
                            CHECK(ended.insert(m.tag).second);
                          },
                          [](const StreamError& m) { FAIL(m.error.message); });
  }
  theatre.wait_until_idle();
}

TEST_CASE("what a client asked for ends with the client, and nothing else does", "[actors]") {
  Theatre theatre;
  const auto neighbour = theatre.open(request("neighbour", 200), 1);
  const auto dies = theatre.system.spawn(asker, theatre.troupe, request("for nobody", 480));
  const auto too = theatre.system.spawn(reader, theatre.troupe, request("for nobody", 480),
                                        caf::actor_cast<caf::actor>(theatre.self));
  // The reader runs for certain; it stops at its window.
  bool started = false;
  std::vector<StreamToken> early;
  theatre.self->receive_while([&] { return !started; })(
      [&](int) { started = true; },
      [&](const StreamToken& m) {
        early.push_back(m);
        theatre.self->send(theatre.troupe, Consumed{neighbour, 1});
      });
  theatre.self->send_exit(too, caf::exit_reason::kill);
  theatre.self->send_exit(dies, caf::exit_reason::user_shutdown);
  Generation answer = theatre.read(neighbour);
  std::vector<Token> tokens;
  for (const auto& m : early) tokens.push_back(m.event.token);
  tokens.insert(tokens.end(), answer.tokens.begin(), answer.tokens.end());
  CHECK(tokens == alone(request("neighbour", 200)).tokens);
  theatre.wait_until_idle();
  const EngineStats stats = theatre.stats();
  CHECK(stats.requests_cancelled >= 1);  // the one that asked for all may have had it by then
  CHECK(stats.requests_finished + stats.requests_cancelled == 3);
}

TEST_CASE("an exit message lets what runs finish, refuses newcomers, and is the reason in the end",
          "[actors]") {
  Theatre theatre(one_place());
  const RequestId id = theatre.open(request("running", 60), 1, 4);
  theatre.self->monitor(theatre.troupe);
  theatre.self->send_exit(theatre.troupe, caf::exit_reason::user_shutdown);
  const auto refused = theatre.refusal(request("late", 3));
  REQUIRE(refused);
  CHECK(refused->code == Errc::draining);
  CHECK(theatre.read(id).tokens.size() == 60);
  theatre.self->receive(
      [&](const caf::down_msg& m) { CHECK(m.reason == caf::make_error(caf::exit_reason::user_shutdown)); });
}

TEST_CASE("a second exit message does not wait", "[actors]") {
  EngineOptions options = one_place();
  options.drain_ms = 3'600'000;
  Theatre theatre(options);
  const RequestId id = theatre.open(request("running", 400), 1, 4);  // stops at its window for good
  theatre.self->monitor(theatre.troupe);
  theatre.self->send_exit(theatre.troupe, caf::exit_reason::user_shutdown);
  theatre.self->send_exit(theatre.troupe, caf::exit_reason::user_shutdown);
  CHECK(theatre.read(id).finish_reason == FinishReason::cancelled);
  theatre.self->receive([](const caf::down_msg&) {});
}

TEST_CASE("a drain is answered when all has ended, and then the troupe ends well", "[actors]") {
  Theatre theatre(one_place());
  const RequestId id = theatre.open(request("running", 400), 1, 4);
  theatre.self->monitor(theatre.troupe);
  theatre.self->request(theatre.troupe, 30s, Drain{0})
      .receive([](Drained) {}, [](const caf::error& e) { FAIL(to_string(e)); });
  CHECK(theatre.read(id).finish_reason == FinishReason::cancelled);
  theatre.self->receive([](const caf::down_msg& m) { CHECK_FALSE(m.reason); });
}

TEST_CASE("a troupe that is killed answers what is open, and leaves nobody behind", "[actors]") {
  Theatre theatre(one_place());
  const RequestId id = theatre.open(request("running", 400), 1, 4);
  auto waiting = theatre.self->request(theatre.troupe, 30s, request("queued", 5));
  static_cast<void>(theatre.stats());  // it has arrived
  theatre.self->monitor(theatre.troupe);
  theatre.self->send_exit(theatre.troupe, caf::exit_reason::kill);
  waiting.receive([](const Generation&) { FAIL("answered by the dead"); },
                  [](const caf::error& e) {
                    REQUIRE(error_of(e));
                    CHECK(error_of(e)->code == Errc::fault);
                  });
  bool down = false;
  bool failed = false;
  while (!down || !failed) {
    theatre.self->receive([](const StreamToken&) {},
                          [&](const StreamError& m) {
                            failed = true;
                            CHECK(m.request == id);
                            CHECK(m.error.code == Errc::fault);
                          },
                          [&](const caf::down_msg&) { down = true; });
  }
  theatre.troupe = nullptr;
}  // the system's destructor waits for all actors

TEST_CASE("a troupe that nobody knows any more ends by itself", "[actors]") {
  Theatre theatre;
  REQUIRE_FALSE(theatre.refusal(request("x", 3)));
  theatre.self->monitor(theatre.troupe);
  theatre.troupe = nullptr;
  theatre.self->receive(
      [](const caf::down_msg& m) { CHECK(m.reason == caf::make_error(caf::exit_reason::unreachable)); },
      caf::after(30s) >> [] { FAIL("it is still there"); });
}

TEST_CASE("when its router fails, what is open gets the error, and the troupe is down with it", "[actors]") {
  Theatre theatre;  // for its system
  auto company = make_company(test::toy_model(), one_place());
  REQUIRE(company);
  RouterActor router;
  const TroupeActor troupe = spawn_troupe_actor(theatre.system, *company, [&](caf::actor_system& system) {
    return router = spawn_company(system, *company, true);
  });
  theatre.self->send_exit(theatre.troupe, caf::exit_reason::user_shutdown);
  theatre.troupe = troupe;
  const RequestId id = theatre.open(request("running", 400), 1, 4);
  theatre.self->monitor(troupe);
  theatre.self->send(troupe, Drain{3'600'000});
  theatre.self->send_exit(router, make_error(Error{Errc::fault, "the batcher died too often", 0}));
  bool down = false;
  bool failed = false;
  bool drained = false;
  while (!down || !failed || !drained) {
    theatre.self->receive([](const StreamToken&) {}, [&](Drained) { drained = true; },
                          [&](const StreamError& m) {
                            failed = true;
                            CHECK(m.request == id);
                            CHECK(m.error.message == "the batcher died too often");
                          },
                          [&](const caf::down_msg& m) {
                            down = true;
                            REQUIRE(error_of(m.reason));
                            CHECK(error_of(m.reason)->code == Errc::fault);
                          });
  }
}

TEST_CASE("hundreds of clients come and go, and every request that lives is answered", "[actors]") {
  Theatre theatre;
  std::vector<caf::actor> doomed;
  int answers = 0;
  for (int i = 0; i < 200; ++i) {
    if (i % 2 == 0) doomed.push_back(theatre.system.spawn(asker, theatre.troupe, request("x", 40)));
    theatre.self->send(theatre.troupe, request("x", 5));
    if (i % 3 == 0 && !doomed.empty()) {
      theatre.self->send_exit(doomed.back(), caf::exit_reason::kill);
      doomed.pop_back();
    }
  }
  for (const auto& actor : doomed) theatre.self->send_exit(actor, caf::exit_reason::kill);
  theatre.self->receive_while([&] { return answers < 200; })([&](const Generation& answer) {
    CHECK(answer.tokens.size() == 5);
    ++answers;
  });
  theatre.wait_until_idle();
}
