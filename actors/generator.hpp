#pragma once
// One running request: owns its sampler, stop rule and detokenizer, and is reused for the next.

#include <memory>

#include "actors/messages.hpp"
#include "troupe/model.hpp"

namespace troupe {

/// Spawns an idle generator. `context_tokens` bounds prompt and answer together. It answers the sender of an
/// Assignment with Emissions and then one Ended or Faulted, is idle again after that, and ends on Quit.
GeneratorActor spawn_generator(caf::actor_system& system, std::shared_ptr<const Model> model,
                               std::uint32_t context_tokens);

}  // namespace troupe
