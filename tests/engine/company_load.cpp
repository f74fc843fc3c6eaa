#include "engine/company_load.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/atom.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <optional>
#include <utility>

#include "actors/event_sink.hpp"
#include "engine/listeners.hpp"
#include "support/catch.hpp"

namespace troupe::test {

std::unique_ptr<caf::actor_system_config> sharing_config() {
  auto config = std::make_unique<caf::actor_system_config>();
  config->set("scheduler.policy", caf::atom("sharing"));
  config->set("scheduler.max-threads", std::size_t{2});
  return config;
}

std::vector<std::vector<Token>> answers_of(caf::actor_system& system, const RouterActor& router,
                                           const std::vector<std::shared_ptr<const Work>>& works) {
  const EventSinkActor sink = spawn_event_sink(system);
  const auto inbox = std::make_shared<BatchInbox>();
  caf::scoped_actor self(system);
  for (std::size_t i = 0; i < works.size(); ++i) {
    Submission submission;
    submission.work = works[i];
    submission.sink = sink;
    submission.tag = i + 1;
    caf::anon_send(sink, Attach{submission.tag, std::make_shared<BatchListener>(inbox, i)});
    self->request(router, caf::infinite, std::move(submission))
        .receive([](const Admission& a) { REQUIRE_FALSE(a.refusal); }, [](caf::error&) { REQUIRE(false); });
  }
  std::vector<std::vector<Token>> answers(works.size());
  for (std::size_t i = 0; i < works.size(); ++i) {
    auto item = inbox->take(std::nullopt);
    REQUIRE(item->result);
    answers[item->index] = item->result->tokens;
  }
  self->request(router, caf::infinite, Drain{0}).receive([](Drained) {}, [](caf::error&) { REQUIRE(false); });
  caf::anon_send(sink, Quit{});
  return answers;
}

}  // namespace troupe::test
