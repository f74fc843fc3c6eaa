#pragma once

#include <functional>

#include "engine/company.hpp"
#include "troupe/actors.hpp"

namespace troupe {

/// The actor of actors.hpp, in front of the router that `make_router` spawns.
TroupeActor spawn_troupe_actor(caf::actor_system& system, const Company& company,
                               const std::function<RouterActor(caf::actor_system&)>& make_router);

}  // namespace troupe
