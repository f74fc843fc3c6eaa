#pragma once
// Engine::batch(): many prompts, a bounded number at once, answers in the order of the prompts.

#include <functional>
#include <limits>
#include <memory>
#include <optional>

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

/// Where a batch gets its requests from.
struct BatchSource {
  /// The next one, which lives until the next call; null when there are no more.
  std::function<const GenerationRequest*()> next;
  /// Whether next() would not wait; empty: it never does.
  std::function<bool()> ready = {};
  std::optional<std::size_t> total = {};  ///< how many there are, if that is known
  /// Requests whose results have not been handed out yet, at most; at least 1.
  std::size_t pending_max = std::numeric_limits<std::size_t>::max();
};

/// Gets every result, in the order of the requests.
using BatchSink = std::function<void(std::size_t index, Result<Generation> result)>;

/// Runs the batch on the calling thread; returns how many requests there were. What still runs when a
/// callback throws is cancelled. After on_progress has said no, a source without a total is not read any
/// further.
std::size_t run_batch(const BatchSource& source, const BatchOptions& options, const BatchEngine& engine,
                      std::size_t parallelism_max, const BatchSink& sink);

}  // namespace troupe
