#pragma once
// Engine::batch(): many prompts, a bounded number at once, answers in the order of the prompts.

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "actors/event_sink.hpp"
#include "troupe/engine.hpp"

namespace troupe {

/// What a batch needs of the engine that runs it.
struct BatchEngine {
  std::function<Result<std::shared_ptr<const Work>>(const GenerationRequest&)> make_work;
  /// Refused: the listener hears nothing more, unless it was answered already.
  std::function<Result<RequestId>(const GenerationRequest&, const std::shared_ptr<const Work>&,
                                  const std::shared_ptr<StreamListener>&)>
      submit;
  std::function<void(RequestId)> cancel;
};

/// Runs the batch on the calling thread. What still runs when a callback throws is cancelled.
std::vector<Result<Generation>> run_batch(std::span<const GenerationRequest> requests,
                                          const BatchOptions& options, const BatchEngine& engine,
                                          std::size_t parallelism_max);

}  // namespace troupe
