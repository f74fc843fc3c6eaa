#include "actors/batcher.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <chrono>
#include <optional>
#include <unordered_map>
#include <utility>

#include "actors/batch_plan.hpp"
#include "actors/draft_plan.hpp"
#include "actors/inline_unit.hpp"
#include "actors/step_budget.hpp"
#include "actors/straggler_wait.hpp"
#include "base/check.hpp"

namespace troupe {
namespace {

class BatcherState {
 public:
  using Self = BatcherActor::stateful_pointer<BatcherState>;

  BatcherState() = default;
  /// However the batcher ends, its cache ends with it.
  ~BatcherState() {
    if (!config_.counters) return;
    if (config_.lease->given_up()) {
      config_.counters->stuck_batchers.fetch_sub(1, std::memory_order_relaxed);
    } else {
      config_.counters->publish_pages(config_.replica, 0);
    }
  }
  BatcherState(const BatcherState&) = delete;
  BatcherState& operator=(const BatcherState&) = delete;

  void start(Self self, const BatcherConfig& config) {
    self_ = self;
    config_ = config;
    stepper_ = config.make_stepper();
    budget_.emplace(config.step_tokens_max, config.step_stretch_max);
    if (config.detached) inline_unit_.emplace(self->system());
  }

  void open(const OpenSequence& m) {
    end_with(self_->current_sender());
    Sequence& sequence = sequences_[m.sequence];
    sequence.open_failed = !stepper_->open(m.sequence, m.promised);
    // Its generator is about to ask: waiting for it lets requests that start together step together.
    expect_answer(sequence);
  }

  void close(const CloseSequence& m) {
    const auto found = sequences_.find(m.sequence);
    if (found == sequences_.end()) return;
    answered(found->second);
    sequences_.erase(found);
    stepper_->close(m.sequence);
    publish_pages();
    schedule();
  }

  void ask(Ask& m) {
    const auto found = sequences_.find(m.sequence);
    if (found == sequences_.end()) return;  // taken away meanwhile
    Sequence& sequence = found->second;
    answered(sequence);
    settle(m.sequence, sequence, m.length);
    sequence.generator = caf::actor_cast<GeneratorActor>(self_->current_sender());
    sequence.alone = m.alone;
    sequence.top_count = m.top_count;
    sequence.arrival = arrivals_++;
    if (sequence.open_failed) {
      fail(m.sequence, sequence, "the KV cache has no room for the sequence");
    } else {
      sequence.tokens = std::move(m.tokens);
      sequence.taken = 0;
      sequence.drafts = std::move(m.drafts);
      sequence.draft_rate = m.draft_rate;
    }
    schedule();
  }

  void park(const Park& m) {
    const auto found = sequences_.find(m.sequence);
    if (found == sequences_.end()) return;
    answered(found->second);
    settle(m.sequence, found->second, m.length);
    schedule();
  }

  void tick(const StepTick& m) {
    if (m.number != tick_number_) return;  // a timer of a step that has run already
    timer_due_.reset();
    if (!tick_sent_) return schedule();  // the time to wait is over, unless it has become longer
    ++tick_number_;
    tick_sent_ = false;
    could_run_since_.reset();
    if (!step()) return self_->quit();
    schedule();
  }

 private:
  struct Sequence {
    GeneratorActor generator;
    std::vector<Token> tokens;  // asked for
    std::size_t taken = 0;      // of `tokens`, computed already
    std::vector<Token> drafts;  // asked for; once computed, those that were
    double draft_rate = 0;
    bool drafted = false;  // the sequence holds `drafts`, and nobody has said yet which are right
    std::uint64_t arrival = 0;
    std::size_t top_count = 0;
    std::uint32_t cached_tokens = 0;  // of its first ask
    bool alone = false;
    bool open_failed = false;
    bool started = false;    // some of it was computed
    bool answering = false;  // its generator holds logits, or was just started: it will ask or park
    TimePoint told_at;       // since when
    StepOutlook::Duration usual_answer{};

    std::size_t waiting() const { return tokens.size() - taken; }
  };

  /// Without its router a batcher serves nobody, and nobody would tell it to end.
  void end_with(const caf::strong_actor_ptr& router) {
    if (watched_) return;
    watched_ = true;
    self_->monitor(router);
    self_->set_down_handler([self = self_](const caf::down_msg&) { self->quit(); });
  }

  void expect_answer(Sequence& sequence) {
    ++answering_;
    sequence.answering = true;
    sequence.told_at = self_->clock().now();
  }

  void answered(Sequence& sequence) {
    no_pages_ = false;  // its drafts, or all of it, may give some back
    if (!sequence.answering) return;
    --answering_;
    sequence.answering = false;
    // New times count for a quarter: what else its generator's thread has to do changes.
    const StepOutlook::Duration time = self_->clock().now() - sequence.told_at;
    sequence.usual_answer += 0.25 * (time - sequence.usual_answer);
  }

  /// Takes back the drafts that were computed and were wrong; the others are known to be its text now.
  void settle(SequenceId id, Sequence& sequence, std::size_t length) {
    if (!sequence.drafted) return;
    sequence.drafted = false;
    const std::size_t before = stepper_->length(id) - sequence.drafts.size();
    TROUPE_CHECK(length >= before && length - before <= sequence.drafts.size());
    if (config_.prefix_cache) stepper_->remember(id, std::span(sequence.drafts).first(length - before));
    stepper_->truncate(id, length);
    bump(config_.counters->draft_tokens_accepted, length - before);
    publish_pages();
  }

  bool has_work() const {
    for (const auto& [id, sequence] : sequences_) {
      if (sequence.waiting() != 0) return true;
    }
    return false;
  }

  /// Runs the next step behind the messages that are in the mailbox already, so that they can join it; while
  /// generators still answer, waits for them as long as that pays.
  void schedule() {
    if (tick_sent_ || no_pages_) return;
    if (!has_work()) {
      if (answering_ == 0) last_step_end_.reset();  // idle
      return;
    }
    if (answering_ != 0) {
      const TimePoint now = self_->clock().now();
      if (!could_run_since_) could_run_since_ = now;
      const TimePoint due = *could_run_since_ + std::chrono::duration_cast<TimePoint::duration>(wait());
      if (now < due) {
        if (timer_due_ && *timer_due_ <= due) return;
        timer_due_ = due;
        self_->delayed_send(self_, due - now, StepTick{tick_number_});
        return;
      }
    }
    tick_sent_ = true;
    self_->send(self_, StepTick{tick_number_});
  }

  StepOutlook::Duration wait() const {
    const StepOutlook::Duration wait_max = std::chrono::microseconds(config_.straggler_wait_us);
    StepOutlook outlook;
    outlook.late = answering_;
    std::size_t rows = 0;
    for (const auto& [id, sequence] : sequences_) {
      outlook.ready += sequence.waiting() != 0;
      rows += sequence.waiting();
      if (sequence.answering) outlook.usual_answer = std::max(outlook.usual_answer, sequence.usual_answer);
    }
    rows = std::min<std::size_t>(rows, config_.step_tokens_max);
    const auto alone = budget_->expect(rows);
    if (!alone || alone->count() == 0) return wait_max;  // by a clock that stands still nothing was measured
    outlook.alone = outlook.together = *alone;
    // What was never measured is taken to cost nothing, or it never would be.
    if (static_cast<double>(rows + outlook.late) <= budget_->rows_seen())
      outlook.together = std::max(*alone, *budget_->expect(rows + outlook.late));
    return straggler_wait(outlook, wait_max);
  }

  /// False when it took so long that the router gave this batcher up.
  bool step() {
    std::vector<PendingRows> pending;
    for (auto& [id, sequence] : sequences_) {
      if (sequence.waiting() == 0) continue;
      reuse_prefix(id, sequence);
      pending.push_back({id, sequence.waiting(), sequence.arrival, sequence.alone,
                         stepper_->pages_missing(id, sequence.waiting())});
    }
    // The router sees to it that what runs fits, but generators can be ahead of it.
    std::size_t spare_pages = stepper_->pages_available();
    pending = with_pages(std::move(pending), spare_pages);
    auto plan = plan_step(pending, budget_->rows_for(count_decodes(pending)), alone_turn_);
    no_pages_ = plan.empty() && has_work();
    if (plan.empty()) return true;
    alone_turn_ = !alone_turn_;
    plan_drafts(plan, spare_pages);

    StepBatch batch;
    std::vector<SequenceId> sequences;
    for (const PlannedRows& rows : plan) {
      add_rows(batch, rows);
      sequences.push_back(rows.sequence);
    }
    config_.lease->begin(std::move(sequences));
    const TimePoint begin = self_->clock().now();
    if (last_step_end_) config_.counters->step_gap.record(seconds(begin - *last_step_end_));
    std::shared_ptr<const LogitsBlock> logits;
    std::string failure;
    try {
      logits = stepper_->run(batch);
    } catch (const std::exception& e) {
      failure = e.what();
    }
    if (!config_.lease->end()) return false;
    last_step_end_ = self_->clock().now();
    const auto time = *last_step_end_ - begin;
    if (logits) budget_->observe(batch.rows.size(), time);
    count(batch, time);
    answer(plan, logits, failure);
    return true;
  }

  /// Tells the generators of a step what came of it. Most are done with their logits in microseconds, here
  /// and now; those that have to look at a whole vocabulary share CAF's workers meanwhile.
  void answer(const std::vector<PlannedRows>& plan, const std::shared_ptr<const LogitsBlock>& logits,
              const std::string& failure) {
    constexpr std::size_t quick_vocab_max = 4096;
    std::vector<std::pair<const Sequence*, LogitsRows>> quick;
    std::size_t row = 0;
    for (const PlannedRows& rows : plan) {
      Sequence& sequence = sequences_.at(rows.sequence);
      if (!logits) {
        fail(rows.sequence, sequence, failure);
        continue;
      }
      if (config_.prefix_cache) {
        stepper_->remember(rows.sequence, std::span(sequence.tokens).subspan(sequence.taken, rows.tokens));
        if (!sequence.started) count_prefix(sequence);
      }
      sequence.started = true;
      sequence.taken += rows.tokens;
      if (sequence.waiting() != 0) continue;
      sequence.drafts.resize(rows.drafts);
      sequence.drafted = rows.drafts != 0;
      expect_answer(sequence);
      LogitsRows message{rows.sequence, logits, row, 1 + rows.drafts, sequence.cached_tokens};
      row += message.count;
      if (sequence.top_count != 0 || logits->vocab <= quick_vocab_max || plan.size() == 1) {
        quick.emplace_back(&sequence, std::move(message));
      } else {
        self_->send(sequence.generator, std::move(message));
      }
    }
    const auto send_quick = [&] {
      for (auto& [sequence, message] : quick) self_->send(sequence->generator, std::move(message));
    };
    if (inline_unit_) {
      inline_unit_->run(*self_, send_quick);
    } else {
      send_quick();
    }
  }

  /// Prompts come first: only steps that are decodes alone take drafts along. Nobody is to wait for pages
  /// that drafts took, so of `spare_pages` they leave one for every sequence.
  void plan_drafts(std::vector<PlannedRows>& plan, std::size_t spare_pages) {
    std::vector<DraftOffer> offers;
    spare_pages -= std::min(spare_pages, sequences_.size());
    for (const PlannedRows& rows : plan) {
      const Sequence& sequence = sequences_.at(rows.sequence);
      if (sequence.alone || sequence.waiting() != 1) return;
      offers.push_back(
          {stepper_->affordable(rows.sequence, 1, sequence.drafts.size(), spare_pages), sequence.draft_rate});
    }
    const std::vector<std::size_t> drafts = draft_plan_.choose(offers, *budget_);
    for (std::size_t i = 0; i < plan.size(); ++i) {
      plan[i].drafts = drafts[i];
      bump(config_.counters->draft_tokens, drafts[i]);
    }
  }

  /// Skips what others have computed already. Asked until the sequence's first step, because that may be in a
  /// step that runs meanwhile.
  void reuse_prefix(SequenceId id, Sequence& sequence) {
    if (!config_.prefix_cache || sequence.started || sequence.taken != 0) return;
    sequence.taken = stepper_->reuse_prefix(id, sequence.tokens);
    sequence.cached_tokens = static_cast<std::uint32_t>(sequence.taken);
  }

  void add_rows(StepBatch& batch, const PlannedRows& rows) {
    const Sequence& sequence = sequences_.at(rows.sequence);
    const std::size_t length = stepper_->length(rows.sequence);
    for (std::size_t i = 0; i < rows.tokens; ++i) {
      const std::size_t index = sequence.taken + i;
      batch.rows.push_back({rows.sequence, static_cast<std::uint32_t>(length + i), sequence.tokens[index],
                            index + 1 == sequence.tokens.size(), sequence.top_count});
    }
    for (std::size_t i = 0; i < rows.drafts; ++i) {
      batch.rows.push_back({rows.sequence, static_cast<std::uint32_t>(length + rows.tokens + i),
                            sequence.drafts[i], true, sequence.top_count});
    }
  }

  void fail(SequenceId id, Sequence& sequence, const std::string& message) {
    sequence.tokens.clear();
    sequence.taken = 0;
    sequence.drafts.clear();
    self_->send(sequence.generator, StepFailure{id, message});
  }

  static double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

  void count(const StepBatch& batch, std::chrono::nanoseconds time) {
    config_.counters->step_tokens.record(static_cast<double>(batch.rows.size()));
    config_.counters->step_time.record(seconds(time));
    publish_pages();
  }

  /// At the first step of a sequence: `taken` is what was reused.
  void count_prefix(const Sequence& sequence) {
    Counters& counters = *config_.counters;
    counters.prefix_tokens_asked.fetch_add(sequence.tokens.size(), std::memory_order_relaxed);
    counters.prefix_tokens_reused.fetch_add(sequence.taken, std::memory_order_relaxed);
  }

  void publish_pages() { config_.counters->publish_pages(config_.replica, stepper_->pages_used()); }

  Self self_ = nullptr;
  BatcherConfig config_;
  std::unique_ptr<Stepper> stepper_;
  std::optional<StepBudget> budget_;
  DraftPlan draft_plan_;
  std::optional<InlineUnit> inline_unit_;  // none under a deterministic scheduler
  std::unordered_map<SequenceId, Sequence> sequences_;
  std::size_t answering_ = 0;  // sequences with `answering`
  std::uint64_t arrivals_ = 0;
  std::uint64_t tick_number_ = 0;             // of the step that comes next
  bool tick_sent_ = false;                    // the next step's tick is in the mailbox
  std::optional<TimePoint> could_run_since_;  // the next step
  std::optional<TimePoint> timer_due_;        // when it is to be looked at whether it waits longer
  bool no_pages_ = false;  // for anything that was asked for: there is no step before others give some back
  bool alone_turn_ = true;
  std::optional<TimePoint> last_step_end_;  // unless there was nothing to do since
  bool watched_ = false;                    // the router's end ends this
};

BatcherActor::behavior_type batcher(BatcherState::Self self, const BatcherConfig& config) {
  self->state.start(self, config);
  return {
      [self](const OpenSequence& m) { self->state.open(m); },
      [self](const CloseSequence& m) { self->state.close(m); },
      [self](Ask& m) { self->state.ask(m); },
      [self](const Park& m) { self->state.park(m); },
      [self](const Quit&) { self->quit(); },
      [self](const StepTick& m) { self->state.tick(m); },
  };
}

}  // namespace

BatcherActor spawn_batcher(caf::actor_system& system, const BatcherConfig& config) {
  return config.detached ? system.spawn<caf::detached>(batcher, config) : system.spawn(batcher, config);
}

}  // namespace troupe
