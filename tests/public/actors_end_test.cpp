// Clients, troupes and routers that end: who is told, and who lives on.

#include <caf/all.hpp>

#include "engine/troupe_actor.hpp"
#include "public/theatre.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

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
