#include "actors/generator.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <optional>

#include "actors/stop_rule.hpp"
#include "model/sampler.hpp"

namespace troupe {
namespace {

class GeneratorState {
 public:
  using Self = GeneratorActor::stateful_pointer<GeneratorState>;

  GeneratorState() = default;

  void start(Self self, std::shared_ptr<const Model> model, std::uint32_t context_tokens) {
    self_ = self;
    model_ = std::move(model);
    context_tokens_ = context_tokens;
  }

  void assign(Assignment& m) {
    const auto router = caf::actor_cast<RouterActor>(self_->current_sender());
    end_with(router);
    run_.emplace(std::move(m), router, *model_, context_tokens_);
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
  }

  void credit(const Credit& m) {
    if (!run_ || run_->job.request != m.request || run_->job.epoch != m.epoch) return;
    run_->job.credit += m.tokens;
    if (run_->paused) continue_or_pause();
  }

  void abandon(const Abandon& m) {
    if (run_ && run_->job.request == m.request && run_->job.epoch == m.epoch) run_.reset();
  }

  void logits(const LogitsRow& m) {
    if (!run_ || run_->job.sequence != m.sequence) return;
    Run& run = *run_;
    run.job.alone = false;  // it is past the step that it was suspected of breaking
    if (const auto due = run.stop_rule.due()) return end(*due, {});  // only the prompt was to be evaluated
    const std::uint64_t position = run.job.work->prompt.size() + run.stop_rule.tokens();
    const Result<Token> token = run.sampler.sample(m.block->row(m.row), position);
    if (!token) return fault(token.error(), true);
    take(*token);
  }

  void step_failed(const StepFailure& m) {
    if (!run_ || run_->job.sequence != m.sequence) return;
    fault({Errc::fault, "a step failed: " + m.message}, false);
  }

 private:
  struct Run {
    Run(Assignment assignment, RouterActor from, const Model& model, std::uint32_t context_tokens)
        : job(std::move(assignment)),
          router(std::move(from)),
          sampler(job.work->options.sampling),
          stop_rule(model.tokenizer(), job.work->options, context_tokens - job.work->prompt.size()) {}

    Assignment job;
    RouterActor router;
    Sampler sampler;
    StopRule stop_rule;
    std::vector<Token> next;  // tokens to ask for
    bool paused = false;      // the reader's credit is used up
  };

  /// Without its router a generator has nothing to do, and nobody would tell it to end.
  void end_with(const RouterActor& router) {
    if (watched_) return;
    watched_ = true;
    self_->monitor(router);
    self_->set_down_handler([self = self_](const caf::down_msg&) { self->quit(); });
  }

  void take(Token token) {
    Run& run = *run_;
    const auto index = static_cast<std::uint32_t>(run.stop_rule.tokens());
    StopRule::Outcome outcome = run.stop_rule.push(token);
    if (outcome.emit) {
      emit({index, token, std::move(outcome.text)});
      run.sampler.see_answer(token);
      --run.job.credit;
    }
    if (outcome.end) return end(*outcome.end, std::move(outcome.tail));
    run.next.assign(1, token);
    continue_or_pause();
  }

  void continue_or_pause() {
    Run& run = *run_;
    run.paused = run.job.windowed && run.job.credit == 0;
    if (run.paused) {
      self_->send(run.job.batcher, Park{run.job.sequence});
    } else {
      self_->send(run.job.batcher, Ask{run.job.sequence, std::move(run.next), run.job.alone});
      run.next.clear();
    }
  }

  void emit(TokenEvent event) {
    self_->send(run_->router, Emission{run_->job.request, run_->job.epoch, std::move(event)});
  }

  void end(FinishReason reason, std::string tail) {
    Run& run = *run_;
    if (!tail.empty()) {
      emit({static_cast<std::uint32_t>(run.stop_rule.tokens()), no_token, std::move(tail)});
    }
    self_->send(run.job.batcher, Park{run.job.sequence});
    self_->send(run.router, Ended{run.job.request, run.job.epoch, reason});
    run_.reset();
  }

  void fault(Error error, bool final) {
    self_->send(run_->job.batcher, Park{run_->job.sequence});
    self_->send(run_->router, Faulted{run_->job.request, run_->job.epoch, std::move(error), final});
    run_.reset();
  }

  Self self_ = nullptr;
  std::shared_ptr<const Model> model_;
  std::uint32_t context_tokens_ = 0;
  std::optional<Run> run_;
  bool watched_ = false;  // the router's end ends this
};

GeneratorActor::behavior_type generator(GeneratorState::Self self, const std::shared_ptr<const Model>& model,
                                        std::uint32_t context_tokens) {
  self->state.start(self, model, context_tokens);
  return {
      [self](Assignment& m) { self->state.assign(m); },
      [self](const Credit& m) { self->state.credit(m); },
      [self](const Abandon& m) { self->state.abandon(m); },
      [self](const LogitsRow& m) { self->state.logits(m); },
      [self](const StepFailure& m) { self->state.step_failed(m); },
      [self](const Quit&) { self->quit(); },
  };
}

}  // namespace

GeneratorActor spawn_generator(caf::actor_system& system, std::shared_ptr<const Model> model,
                               std::uint32_t context_tokens) {
  return system.spawn(generator, std::move(model), context_tokens);
}

}  // namespace troupe
