#include "actors/crew.hpp"

#include <algorithm>
#include <exception>

#include "base/log.hpp"

namespace troupe {

using std::chrono::milliseconds;

Crew::Crew(const EngineOptions& options, Spawn spawn, std::shared_ptr<Counters> counters)
    : spawn_(std::move(spawn)),
      counters_(std::move(counters)),
      pool_max_(options.pool_max),
      restarts_max_(options.restarts_max),
      restart_window_ms_(options.restart_window_ms),
      budget_(options.restarts_max, milliseconds(options.restart_window_ms),
              milliseconds(options.restart_backoff_ms)) {}

bool Crew::generator_available(TimePoint now) const {
  if (!idle_.empty()) return true;
  return !failed() && generators_.size() < pool_max_ && now >= generator_not_before_;
}

GeneratorActor Crew::take_generator() {
  if (!idle_.empty()) {
    GeneratorActor reused = std::move(idle_.back());
    idle_.pop_back();
    return reused;
  }
  GeneratorActor fresh = *generators_.insert(spawn_.generator()).first;
  publish(counters_->generators, generators_.size());
  return fresh;
}

void Crew::give_back(const GeneratorActor& generator) {
  if (alive(generator)) idle_.push_back(generator);
}

bool Crew::keep_batcher(TimePoint now, std::string& why) {
  if (batcher_ || failed() || now < batcher_not_before_) return true;
  try {
    batcher_ = spawn_.batcher();
  } catch (const std::exception& e) {
    why = e.what();
    return false;
  }
  return true;
}

bool Crew::is_batcher(const caf::actor_addr& address) const {
  return batcher_ && address == batcher_.address();
}

GeneratorActor Crew::find_generator(const caf::actor_addr& address) const {
  const auto found = std::find_if(generators_.begin(), generators_.end(),
                                  [&](const GeneratorActor& g) { return address == g.address(); });
  return found == generators_.end() ? GeneratorActor() : *found;
}

void Crew::generator_died(const GeneratorActor& generator, const std::string& why, TimePoint now) {
  generators_.erase(generator);
  idle_.erase(std::remove(idle_.begin(), idle_.end(), generator), idle_.end());
  publish(counters_->generators, generators_.size());
  generator_not_before_ = not_before("a generator ended (" + why + ")", now);
}

void Crew::batcher_died(const std::string& why, TimePoint now) {
  batcher_ = nullptr;
  batcher_not_before_ = not_before("the batcher ended (" + why + ")", now);
}

std::optional<TimePoint> Crew::next_start(bool generator_wanted) const {
  if (failed()) return std::nullopt;
  if (!batcher_) return batcher_not_before_;
  if (generator_wanted && idle_.empty() && generators_.size() < pool_max_) return generator_not_before_;
  return std::nullopt;
}

/// Counts a restart; the end of the pause before it.
TimePoint Crew::not_before(const std::string& what, TimePoint now) {
  const auto pause = budget_.spend(now);
  if (pause) {
    bump(counters_->restarts);
    log_warning(what + " and is started again");
    return now + *pause;
  }
  failure_ = what + " more than " + std::to_string(restarts_max_) + " times in " +
             std::to_string(restart_window_ms_) + " ms";
  log_error(failure_);
  return now;
}

}  // namespace troupe
