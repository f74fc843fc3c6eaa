#pragma once
// A system of the embedder with a troupe and one client, and what they are held to.

#include "troupe/actors.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>

#include "support/toy_engine.hpp"

namespace troupe::test {

using namespace std::chrono_literals;

inline Generation alone(const GenerationRequest& wanted) {
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

}  // namespace troupe::test
