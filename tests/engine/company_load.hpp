#pragma once
// A company's router and a batch of requests to it, on CAF's real threads: for tests that put steppers or
// batchers of their own into the company.

#include <memory>
#include <vector>

#include "actors/messages.hpp"

namespace caf {
class actor_system;
class actor_system_config;
}  // namespace caf

namespace troupe::test {

/// Two workers that share their queue.
std::unique_ptr<caf::actor_system_config> sharing_config();

/// The tokens of each, in order. All must be admitted and answered. Drains the router, which has then ended.
std::vector<std::vector<Token>> answers_of(caf::actor_system& system, const RouterActor& router,
                                           const std::vector<std::shared_ptr<const Work>>& works);

}  // namespace troupe::test
