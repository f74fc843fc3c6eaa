#pragma once
// One running request: owns its sampler, stop rule and detokenizer, and is reused for the next.

#include <memory>

#include "actors/messages.hpp"
#include "troupe/model.hpp"

namespace troupe {

struct GeneratorConfig {
  std::shared_ptr<const Model> model;
  std::uint32_t context_tokens = 0;    ///< of prompt and answer together
  std::uint32_t draft_tokens_max = 0;  ///< guessed ahead for one step; 0: none
};

/// Spawns an idle generator. It answers the sender of an Assignment with Emissions and then one Ended or
/// Faulted, is idle again after that, and ends on Quit.
GeneratorActor spawn_generator(caf::actor_system& system, const GeneratorConfig& config);

}  // namespace troupe
