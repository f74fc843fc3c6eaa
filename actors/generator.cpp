#include "actors/generator.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <optional>

#include "actors/prompt_lookup.hpp"
#include "actors/stop_rule.hpp"
#include "model/sampler.hpp"

namespace troupe {
namespace {

class GeneratorState {
 public:
  using Self = GeneratorActor::stateful_pointer<GeneratorState>;

  GeneratorState() = default;

  void start(Self self, const GeneratorConfig& config) {
    self_ = self;
    config_ = config;
  }

  void assign(Assignment& m) {
    run_.emplace(std::move(m), caf::actor_cast<RouterActor>(self_->current_sender()), config_);
    Run& run = *run_;
    run.sampler.see_prompt(run.job.work->prompt);
    run.next = run.job.work->prompt;
    // What was delivered before is taken in again, silently: afterwards everything is as it was.
    for (const Token token : run.job.emitted) {
      run.sampler.see_answer(token);
      run.next.push_back(token);
      StopRule::Outcome outcome = run.stop_rule.push(token);
      if (outcome.end) return end(*outcome.end, std::move(outcome.tail));
    }
    continue_or_pause();
    // The batcher has something to do meanwhile. What was in a step that failed is not to fail for a guess.
    if (config_.draft_tokens_max == 0 || run.job.alone) return;
    run.lookup.emplace();
    for (const Token token : run.job.work->prompt) run.lookup->push(token);
    for (const Token token : run.job.emitted) run.lookup->push(token);
  }

  void credit(const Credit& m) {
    if (!run_ || run_->job.request != m.request || run_->job.epoch != m.epoch) return;
    run_->job.credit += m.tokens;
    if (run_->paused) continue_or_pause();
  }

  void abandon(const Abandon& m) {
    if (run_ && run_->job.request == m.request && run_->job.epoch == m.epoch) run_.reset();
  }

  void logits(const LogitsRows& m) {
    if (!run_ || run_->job.sequence != m.sequence) return;
    Run& run = *run_;
    run.cached_tokens = m.cached_tokens;
    run.job.alone = false;  // it is past the step that it was suspected of breaking
    if (const auto due = run.stop_rule.due()) return end(*due, {});  // only the prompt was to be evaluated
    run.length += run.asked;
    // As long as a draft is what would have been sampled anyway, the row behind it is what would have been
    // asked for next.
    for (std::size_t row = 0; row < m.count; ++row) {
      const std::uint64_t position = run.job.work->prompt.size() + run.stop_rule.tokens();
      const Result<Token> token = run.sampler.sample(m.block->view(m.first + row), position);
      if (!token) return fault(token.error(), true);
      const bool held = row + 1 < m.count && *token == run.drafts.at(row);
      if (held) ++run.length;
      if (!take(*token)) return;
      if (!held) break;
    }
    continue_or_pause();
  }

  void step_failed(const StepFailure& m) {
    if (!run_ || run_->job.sequence != m.sequence) return;
    fault({Errc::fault, "a step failed: " + m.message}, false);
  }

 private:
  struct Run {
    Run(Assignment assignment, RouterActor from, const GeneratorConfig& config)
        : job(std::move(assignment)),
          router(std::move(from)),
          sampler(job.work->options.sampling),
          stop_rule(config.model->tokenizer(), job.work->options,
                    config.context_tokens - job.work->prompt.size()) {}

    Assignment job;
    RouterActor router;
    Sampler sampler;
    StopRule stop_rule;
    std::optional<PromptLookup> lookup;  // without one there are no drafts
    std::vector<Token> next;             // tokens to ask for
    std::size_t length = 0;              // tokens that the sequence holds, but for drafts that were wrong
    std::size_t asked = 0;               // tokens that it will hold beyond, and
    std::vector<Token> drafts;           // guesses behind those, if the batcher likes them
    std::uint32_t cached_tokens = 0;
    bool paused = false;  // the reader's credit is used up
  };

  /// False when that was the end.
  bool take(Token token) {
    Run& run = *run_;
    const auto index = static_cast<std::uint32_t>(run.stop_rule.tokens());
    StopRule::Outcome outcome = run.stop_rule.push(token);
    if (outcome.emit) {
      emit({index, token, std::move(outcome.text)});
      run.sampler.see_answer(token);
      if (run.lookup) run.lookup->push(token);
      --run.job.credit;
    }
    if (outcome.end) {
      end(*outcome.end, std::move(outcome.tail));
      return false;
    }
    run.next.assign(1, token);
    return true;
  }

  void continue_or_pause() {
    Run& run = *run_;
    run.paused = run.job.windowed && run.job.credit == 0;
    if (run.paused) {
      park();
      return;
    }
    Ask ask;
    ask.sequence = run.job.sequence;
    ask.length = run.length;
    ask.alone = run.job.alone;
    run.asked = run.next.size();
    run.drafts = drafts(ask.draft_rate);
    ask.drafts = run.drafts;
    ask.top_count = run.sampler.top_count(run.drafts.size());
    ask.tokens = std::move(run.next);
    run.next.clear();
    self_->send(run.job.batcher, std::move(ask));
  }

  /// Guesses at what follows the next token, no more than may be emitted behind it.
  std::vector<Token> drafts(double& rate) {
    Run& run = *run_;
    if (!run.lookup || run.stop_rule.left() == 0) return {};
    std::size_t most = std::min<std::size_t>(config_.draft_tokens_max, run.stop_rule.left() - 1);
    if (run.job.windowed) most = std::min<std::size_t>(most, run.job.credit - 1);
    rate = run.lookup->rate();
    return run.lookup->propose(most);
  }

  void park() { self_->send(run_->job.batcher, Park{run_->job.sequence, run_->length}); }

  void emit(TokenEvent event) {
    self_->send(run_->router, Emission{run_->job.request, run_->job.epoch, std::move(event),
                                       self_->clock().now(), run_->cached_tokens});
  }

  void end(FinishReason reason, std::string tail) {
    Run& run = *run_;
    if (!tail.empty()) {
      emit({static_cast<std::uint32_t>(run.stop_rule.tokens()), no_token, std::move(tail)});
    }
    park();
    self_->send(run.router, Ended{run.job.request, run.job.epoch, reason, run.cached_tokens});
    run_.reset();
  }

  void fault(Error error, bool final) {
    park();
    self_->send(run_->router, Faulted{run_->job.request, run_->job.epoch, std::move(error), final});
    run_.reset();
  }

  Self self_ = nullptr;
  GeneratorConfig config_;
  std::optional<Run> run_;
};

GeneratorActor::behavior_type generator(GeneratorState::Self self, const GeneratorConfig& config) {
  self->state.start(self, config);
  return {
      [self](Assignment& m) { self->state.assign(m); },
      [self](const Credit& m) { self->state.credit(m); },
      [self](const Abandon& m) { self->state.abandon(m); },
      [self](const LogitsRows& m) { self->state.logits(m); },
      [self](const StepFailure& m) { self->state.step_failed(m); },
      [self](const Quit&) { self->quit(); },
  };
}

}  // namespace

GeneratorActor spawn_generator(caf::actor_system& system, const GeneratorConfig& config) {
  return system.spawn(generator, config);
}

}  // namespace troupe
