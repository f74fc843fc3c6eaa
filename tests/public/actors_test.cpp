// actors.hpp as a program of CAF actors uses it; actors_end_test.cpp has its ends.

#include <caf/all.hpp>
#include <set>

#include "public/theatre.hpp"

using namespace troupe;
using namespace troupe::test;

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
