#include "actors/batcher.hpp"

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <chrono>
#include <optional>
#include <utility>

#include "actors/batch_plan.hpp"
#include "actors/draft_plan.hpp"
#include "actors/inline_unit.hpp"
#include "actors/own_thread.hpp"
#include "actors/sequence_table.hpp"
#include "actors/step_budget.hpp"
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
    budget_.emplace(config.step_tokens_max, config.step_stretch_max, longest_step(config.step_stall_ms_max));
    if (config.detached) inline_unit_.emplace(self->system());
  }

  void open(const OpenSequence& m) {
    TableSequence& sequence = sequences_.open(m.sequence);
    sequence.open_failed = !stepper_->open(m.sequence, m.promised);
    // Its generator is about to ask: waiting for it lets requests that start together step together.
    expect_answer(sequence);
  }

  void close(const CloseSequence& m) {
    TableSequence* sequence = sequences_.find(m.sequence);
    if (sequence == nullptr) return;
    answered(*sequence);
    sequences_.erase(m.sequence);
    stepper_->close(m.sequence);
    publish_pages();
    schedule();
  }

  void ask(Ask& m) {
    TableSequence* found = sequences_.find(m.sequence);
    if (found == nullptr) return;  // taken away meanwhile
    TableSequence& sequence = *found;
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
    TableSequence* sequence = sequences_.find(m.sequence);
    if (sequence == nullptr) return;
    answered(*sequence);
    settle(m.sequence, *sequence, m.length);
    schedule();
  }

  void gathered() {
    gathering_ = false;
    schedule();
  }

  void waited(const WaitTick& m) {
    if (m.number != step_number_) return;  // that step has run already
    timer_due_.reset();
    schedule();
  }

  void tick() {
    tick_sent_ = false;
    ++step_number_;
    timer_due_.reset();
    could_run_since_.reset();
    if (!step()) return self_->quit();
    schedule();
  }

 private:
  void expect_answer(TableSequence& sequence) { sequences_.expect_answer(sequence, self_->clock().now()); }

  void answered(TableSequence& sequence) {
    no_pages_ = false;  // its drafts, or all of it, may give some back
    sequences_.answered(sequence, self_->clock().now());
  }

  /// Far from what would be taken for a step that hangs.
  static StepBudget::Duration longest_step(std::uint32_t step_stall_ms_max) {
    constexpr StepBudget::Duration longest{10};
    const StepBudget::Duration quarter = std::chrono::milliseconds(step_stall_ms_max / 4);
    return quarter.count() == 0 ? longest : std::min(longest, quarter);
  }

  /// Takes back the drafts that were computed and were wrong; the others are known to be its text now.
  void settle(SequenceId id, TableSequence& sequence, std::size_t length) {
    if (!sequence.drafted) return;
    sequence.drafted = false;
    const std::size_t before = stepper_->length(id) - sequence.drafts.size();
    TROUPE_CHECK(length >= before && length - before <= sequence.drafts.size());
    if (config_.prefix_cache) stepper_->remember(id, std::span(sequence.drafts).first(length - before));
    stepper_->truncate(id, length);
    bump(config_.counters->draft_tokens_accepted, length - before);
    publish_pages();
  }

  /// Runs the next step behind the messages that are in the mailbox already, so that they can join it; while
  /// generators still answer, waits for them as long as that pays.
  void schedule() {
    if (tick_sent_ || gathering_ || no_pages_) return;
    if (!sequences_.has_work()) {
      if (sequences_.answering() == 0) last_step_end_.reset();  // idle
      return;
    }
    if (sequences_.answering() != 0) {
      const TimePoint now = self_->clock().now();
      if (!could_run_since_) could_run_since_ = now;
      const TimePoint due = *could_run_since_ + std::chrono::duration_cast<TimePoint::duration>(wait());
      if (now < due) {
        if (timer_due_ && *timer_due_ <= due) return;
        timer_due_ = due;
        self_->delayed_send(self_, due - now, WaitTick{step_number_});
        return;
      }
    }
    tick_sent_ = true;
    self_->send(self_, StepTick{});
  }

  StepOutlook::Duration wait() const {
    const StepOutlook::Duration wait_max = std::chrono::microseconds(config_.straggler_wait_us);
    StepOutlook outlook = sequences_.outlook();
    const std::size_t rows = std::min<std::size_t>(sequences_.rows_waiting(), config_.step_tokens_max);
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
    for (auto& [id, sequence] : sequences_.all()) {
      if (sequence.waiting() == 0) continue;
      reuse_prefix(id, sequence);
      pending.push_back(
          {id, sequence.waiting(), sequence.arrival, sequence.alone,
           stepper_->pages_missing(id, std::min<std::size_t>(sequence.waiting(), config_.step_tokens_max))});
    }
    // The router sees to it that what runs fits, but generators can be ahead of it.
    std::size_t spare_pages = stepper_->pages_available();
    pending = with_pages(std::move(pending), spare_pages);
    auto plan = plan_step(pending, budget_->rows_for(count_decodes(pending)), alone_turn_);
    no_pages_ = plan.empty() && sequences_.has_work();
    if (plan.empty()) return true;
    alone_turn_ = !alone_turn_;
    plan_drafts(plan, spare_pages);

    StepBatch batch;
    std::size_t prompt_rows = 0;
    std::vector<SequenceId> sequences;
    for (const PlannedRows& rows : plan) {
      if (sequences_.at(rows.sequence).waiting() > 1) prompt_rows += rows.tokens;
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
    if (logits) budget_->observe(batch.rows.size(), time, prompt_rows);
    count(batch, time);
    answer(plan, logits, failure);
    return true;
  }

  /// Tells the generators of a step what came of it. Most are done with their logits in microseconds, here
  /// and now; those that have to look at a whole vocabulary share CAF's workers meanwhile.
  void answer(const std::vector<PlannedRows>& plan, const std::shared_ptr<const LogitsBlock>& logits,
              const std::string& failure) {
    constexpr std::size_t quick_vocab_max = 4096;
    std::vector<std::pair<const TableSequence*, LogitsRows>> quick;
    std::size_t row = 0;
    for (const PlannedRows& rows : plan) {
      TableSequence& sequence = sequences_.at(rows.sequence);
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
      const bool listed = logits->view(message.first).top_count != 0;
      if (listed || logits->vocab <= quick_vocab_max || plan.size() == 1) {
        quick.emplace_back(&sequence, std::move(message));
      } else {
        self_->send(sequence.generator, std::move(message));
      }
    }
    const auto send_quick = [&] {
      for (auto& [sequence, message] : quick) self_->send(sequence->generator, std::move(message));
    };
    if (inline_unit_) {
      hand_out(inline_unit_->run(*self_, send_quick));
      // Their asks are in the mailbox now: to arm a timer for one until the next is read would wake its
      // thread.
      gathering_ = true;
      self_->send(self_, GatheredTick{});
    } else {
      send_quick();
    }
  }

  /// Lets those go on whom the generators have woken: the router and its sinks carry the tokens out while the
  /// next step is made ready, on a thread that is waiting for it, or on CAF's.
  void hand_out(const WokenActors& woken) {
    if (woken.empty()) return;
    auto& system = self_->system();
    if (!stepper_->aside([&system, woken] { run_woken(system, woken); })) leave_to_workers(system, woken);
  }

  /// Prompts come first: only steps that are decodes alone take drafts along. Nobody is to wait for pages
  /// that drafts took, so of `spare_pages` they leave one for every sequence.
  void plan_drafts(std::vector<PlannedRows>& plan, std::size_t spare_pages) {
    std::vector<DraftOffer> offers;
    spare_pages -= std::min(spare_pages, sequences_.size());
    for (const PlannedRows& rows : plan) {
      const TableSequence& sequence = sequences_.at(rows.sequence);
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
  void reuse_prefix(SequenceId id, TableSequence& sequence) {
    if (!config_.prefix_cache || sequence.started || sequence.taken != 0) return;
    sequence.taken = stepper_->reuse_prefix(id, sequence.tokens);
    sequence.cached_tokens = static_cast<std::uint32_t>(sequence.taken);
  }

  void add_rows(StepBatch& batch, const PlannedRows& rows) {
    const TableSequence& sequence = sequences_.at(rows.sequence);
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

  void fail(SequenceId id, TableSequence& sequence, const std::string& message) {
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
  void count_prefix(const TableSequence& sequence) {
    bump(config_.counters->prefix_tokens_asked, sequence.tokens.size());
    bump(config_.counters->prefix_tokens_reused, sequence.taken);
  }

  void publish_pages() { config_.counters->publish_pages(config_.replica, stepper_->pages_used()); }

  Self self_ = nullptr;
  BatcherConfig config_;
  std::unique_ptr<Stepper> stepper_;
  std::optional<StepBudget> budget_;
  DraftPlan draft_plan_;
  std::optional<InlineUnit> inline_unit_;  // none under a deterministic scheduler
  SequenceTable sequences_;
  std::uint64_t arrivals_ = 0;
  std::uint64_t step_number_ = 0;             // of the step that comes next
  bool tick_sent_ = false;                    // its StepTick is in the mailbox
  bool gathering_ = false;                    // a GatheredTick is in the mailbox
  std::optional<TimePoint> could_run_since_;  // the next step
  std::optional<TimePoint> timer_due_;        // when it is to be looked at whether it waits longer
  bool no_pages_ = false;  // for anything that was asked for: there is no step before others give some back
  bool alone_turn_ = true;
  std::optional<TimePoint> last_step_end_;  // unless there was nothing to do since
};

BatcherActor::behavior_type batcher(BatcherState::Self self, const BatcherConfig& config) {
  self->state.start(self, config);
  return {
      [self](const OpenSequence& m) { self->state.open(m); },
      [self](const CloseSequence& m) { self->state.close(m); },
      [self](Ask& m) { self->state.ask(m); },
      [self](const Park& m) { self->state.park(m); },
      [self](const Quit&) { self->quit(); },
      [self](const StepTick&) { self->state.tick(); },
      [self](const GatheredTick&) { self->state.gathered(); },
      [self](const WaitTick& m) { self->state.waited(m); },
  };
}

}  // namespace

BatcherActor spawn_batcher(caf::actor_system& system, const BatcherConfig& config) {
  if (!config.detached) return system.spawn(batcher, config);
  require_threads(1);
  return system.spawn<caf::detached>(batcher, config);
}

}  // namespace troupe
