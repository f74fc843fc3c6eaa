// The actors' decisions, without actors.

#include <limits>

#include "actors/batch_plan.hpp"
#include "actors/restart_budget.hpp"
#include "actors/step_budget.hpp"
#include "actors/stop_rule.hpp"
#include "actors/straggler_wait.hpp"
#include "actors/wake_timer.hpp"
#include "support/catch.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

constexpr auto epoch = std::chrono::steady_clock::time_point{} + 1h;

/// Pushes the bytes of `text` through a stop rule; what was shown, and how it ended.
struct Shown {
  std::string text;
  std::size_t tokens = 0;
  std::optional<FinishReason> end;
};

Shown push_text(StopRule& rule, std::string_view text) {
  Shown shown;
  for (const char c : text) {
    // Byte tokens begin at 3; every character of these texts has one.
    const auto outcome = rule.push(3 + static_cast<unsigned char>(c));
    shown.text += outcome.text;
    shown.tokens += outcome.emit ? 1 : 0;
    shown.end = outcome.end;
    if (shown.end) {
      shown.text += outcome.tail;
      break;
    }
  }
  return shown;
}

GenerationOptions with_stops(std::vector<std::string> stops) {
  GenerationOptions options;
  options.max_tokens = 100;
  options.stop = std::move(stops);
  return options;
}

}  // namespace

TEST_CASE("a step takes every decode first and fills up with prefills in order of arrival", "[actors]") {
  const std::vector<PendingRows> pending{
      {1, 100, 0, false}, {2, 1, 5, false}, {3, 50, 1, false}, {4, 1, 2, false}};
  const auto plan = plan_step(pending, 110, false);
  REQUIRE(plan.size() == 4);
  CHECK(plan[0].sequence == 4);
  CHECK(plan[1].sequence == 2);
  CHECK(plan[2].sequence == 1);
  CHECK(plan[2].tokens == 100);
  CHECK(plan[3].sequence == 3);
  CHECK(plan[3].tokens == 8);
}

TEST_CASE("a sequence that must be alone gets a step of its own, by turns", "[actors]") {
  const std::vector<PendingRows> pending{{1, 1, 0, false}, {2, 9, 1, true}, {3, 9, 2, true}};
  const auto shared = plan_step(pending, 100, false);
  REQUIRE(shared.size() == 1);
  CHECK(shared[0].sequence == 1);
  const auto alone = plan_step(pending, 4, true);
  REQUIRE(alone.size() == 1);
  CHECK(alone[0].sequence == 2);
  CHECK(alone[0].tokens == 4);
  CHECK(plan_step(std::vector<PendingRows>{{2, 9, 1, true}}, 4, false).size() == 1);
  CHECK(plan_step({}, 4, false).empty());
}

TEST_CASE("prompts get the rows that stretch a running stream's step no more than allowed", "[actors]") {
  StepBudget budget(256, 2);
  CHECK(budget.rows_for(4) == StepBudget::first_rows);  // nothing is known yet
  // 10 ms for the weights, and half a millisecond a row.
  const auto cost = [](std::size_t rows) {
    return StepBudget::Duration(0.010 + 0.0005 * static_cast<double>(rows));
  };
  budget.observe(256, cost(256));
  budget.observe(4, cost(4));
  budget.observe(32, cost(32));
  CHECK(budget.expect(18)->count() == Approx(cost(18).count()));
  CHECK(budget.rows_for(0) == 256);
  CHECK(budget.rows_for(4) == 28);  // 12 ms stretched to 24
  CHECK(budget.rows_for(250) == 256);
  CHECK(StepBudget(256, 2).expect(1) == std::nullopt);
}

TEST_CASE("prompts move on however tight the budget, and short steps are not cut", "[actors]") {
  StepBudget tight(256, 1);
  tight.observe(1, StepBudget::Duration(0.1));
  tight.observe(256, StepBudget::Duration(10));
  CHECK(tight.rows_for(1) == 1 + StepBudget::rows_min);
  CHECK(tight.rows_for(256) == 256);
  StepBudget fast(256, 2);
  fast.observe(1, StepBudget::Duration(0.0001));
  fast.observe(256, StepBudget::Duration(0.004));
  CHECK(fast.rows_for(1) == 256);
}

TEST_CASE("a slow machine takes prompts in steps that nobody takes for stuck", "[actors]") {
  StepBudget budget(256, 2, StepBudget::Duration(10));
  CHECK(budget.rows_for(0) == StepBudget::first_rows);
  const auto cost = [](std::size_t rows) {
    return StepBudget::Duration(1 + 0.5 * static_cast<double>(rows));
  };
  budget.observe(budget.rows_for(0), cost(budget.rows_for(0)));
  for (int step = 0; step < 20; ++step) {
    const std::size_t rows = budget.rows_for(0);
    CHECK(cost(rows).count() <= 10);
    CHECK(rows >= 16);
    budget.observe(rows, cost(rows));
  }
  StepBudget slowest(256, 2, StepBudget::Duration(10));
  slowest.observe(1, StepBudget::Duration(20));
  CHECK(slowest.rows_for(0) == StepBudget::rows_min);
}

TEST_CASE("what prompts cost beside decodes is followed up and down, so that no accident lasts", "[actors]") {
  StepBudget budget(256, 2);
  constexpr std::size_t decodes = 4;
  double alone = 0.004;  // seconds; grows with the contexts
  budget.observe(decodes, StepBudget::Duration(alone));
  budget.observe(16, StepBudget::Duration(0.009), 16);
  std::size_t prompt_rows = 0, without = 0;
  for (int step = 0; step < 2000; ++step) {
    const std::size_t rows = budget.rows_for(decodes), more = rows - decodes;
    const double time = alone + 0.0004 * static_cast<double>(more);
    if (step > 100) CHECK(time < 2.5 * alone);
    const bool accident = step % 50 == 30 && more != 0;
    budget.observe(rows, StepBudget::Duration(accident ? 0.1 : time), more);
    prompt_rows += more;
    without += more == 0;
    alone += 0.000004;
  }
  CHECK(without < 2000 / StepBudget::mixed_max);
  CHECK(prompt_rows >
        2000 * 10);  // at the beginning as many fit as a step without them has time: ten; in the end 30
}

TEST_CASE("a step waits for the late until that has cost as much as going without them", "[actors]") {
  using namespace std::chrono_literals;
  const StepOutlook::Duration wait_max = 2ms;
  const auto wait_us = [&](std::size_t ready, std::size_t late, StepOutlook::Duration alone,
                           StepOutlook::Duration together, StepOutlook::Duration usual_answer = {}) {
    return straggler_wait({ready, late, alone, together, usual_answer}, wait_max).count() * 1e6;
  };
  CHECK(wait_us(7, 1, 7ms, 7ms) == Approx(1000));         // one sits out 7 ms, or seven wait for 1
  CHECK(wait_us(63, 1, 7ms, 7ms) == Approx(1000.0 / 9));  // many do not wait for one
  CHECK(wait_us(1, 7, 7ms, 7ms) == Approx(2000));         // no longer than the limit
  CHECK(wait_us(7, 1, 7ms, 7.5ms) == Approx(500));        // a larger step costs the seven something, too
  CHECK(wait_us(4, 4, 4ms, 8ms) ==
        Approx(0).margin(1e-6));  // each row costs what it costs: nothing is gained
  CHECK(wait_us(4, 4, 4ms, 80ms) == 0);
  CHECK(wait_us(7, 1, 7ms, 7ms, 900us) == Approx(1000));
  CHECK(wait_us(7, 1, 7ms, 7ms, 1100us) == 0);  // it would be in vain
}

TEST_CASE("what more rows than ever would take is a guess, and known to be one", "[actors]") {
  StepBudget budget(256, 2);
  CHECK(budget.rows_seen() == 0);
  budget.observe(4, StepBudget::Duration(0.01));
  CHECK(budget.rows_seen() == 4);
  budget.observe(200, StepBudget::Duration(0.1));
  CHECK(budget.rows_seen() == 200);
}

TEST_CASE("what a step takes is learned anew when it changes", "[actors]") {
  StepBudget budget(256, 2);
  budget.observe(1, StepBudget::Duration(0.010));
  budget.observe(200, StepBudget::Duration(0.05));
  const std::size_t before = budget.rows_for(1);
  for (int i = 0; i < 50; ++i) budget.observe(200, StepBudget::Duration(0.2));
  CHECK(budget.rows_for(1) < before);
}

TEST_CASE("restarts pause longer and longer and end when the budget is used up", "[actors]") {
  RestartBudget budget(3, 10s, 10ms);
  CHECK(budget.spend(epoch) == 10ms);
  CHECK(budget.spend(epoch + 1s) == 20ms);
  CHECK(budget.spend(epoch + 2s) == 40ms);
  CHECK(budget.spend(epoch + 3s) == std::nullopt);
  CHECK(budget.spend(epoch + 30s) == 10ms);
}

TEST_CASE("a budget may be any number of restarts, from none to the largest", "[actors]") {
  constexpr auto max = std::numeric_limits<std::uint32_t>::max();
  RestartBudget none(0, 10s, 10ms);
  CHECK(none.spend(epoch) == std::nullopt);
  RestartBudget one(1, 10s, 10ms);
  CHECK(one.spend(epoch) == 10ms);
  CHECK(one.spend(epoch) == std::nullopt);
  RestartBudget unlimited(max, 10s, 10ms);
  for (int i = 0; i < 1000; ++i) REQUIRE(unlimited.spend(epoch) == 1ms);
  RestartBudget at_once(max, 10s, 0ms);
  CHECK(at_once.spend(epoch) == 0ms);
  RestartBudget long_pauses(1, std::chrono::milliseconds(max), std::chrono::milliseconds(max));
  CHECK(long_pauses.spend(epoch) == std::chrono::milliseconds(max / 2));
}

TEST_CASE("an answer ends before a stop text, and its possible beginnings are held back", "[actors]") {
  const auto model = test::toy_model();
  const auto options = with_stops({"END", "##"});
  StopRule rule(model->tokenizer(), options, 1000);
  const auto shown = push_text(rule, "one E #EN END two");
  CHECK(shown.text == "one E #EN ");
  CHECK(shown.end == FinishReason::stop);

  StopRule other(model->tokenizer(), options, 1000);
  for (const char c : std::string_view("x EN")) {
    const auto outcome = other.push(3 + c);
    if (c == 'E' || c == 'N') CHECK(outcome.text.empty());
  }
  CHECK(push_text(other, "!").text == "EN!");
}

TEST_CASE("the stop text that begins first wins", "[actors]") {
  const auto model = test::toy_model();
  const auto options = with_stops({"cd", "bcd"});
  StopRule rule(model->tokenizer(), options, 1000);
  CHECK(push_text(rule, "abcdef").text == "a");
}

TEST_CASE("what is held back is shown when the answer ends by its length", "[actors]") {
  const auto model = test::toy_model();
  auto options = with_stops({"END"});
  options.max_tokens = 4;
  StopRule rule(model->tokenizer(), options, 1000);
  const auto shown = push_text(rule, "x EN");
  CHECK(shown.text == "x EN");
  CHECK(shown.tokens == 4);
  CHECK(shown.end == FinishReason::length);
}

TEST_CASE("the end-of-text token ends the answer unless it is to be ignored", "[actors]") {
  const auto model = test::toy_model();
  GenerationOptions options;
  StopRule rule(model->tokenizer(), options, 1000);
  const auto ended = rule.push(2);
  CHECK(ended.end == FinishReason::stop);
  CHECK_FALSE(ended.emit);
  options.ignore_eos = true;
  StopRule ignoring(model->tokenizer(), options, 1000);
  CHECK(ignoring.push(2).emit);
  options.stop_tokens = {7};
  CHECK(ignoring.push(7).end == FinishReason::stop);
}

TEST_CASE("an answer ends when the context is full", "[actors]") {
  const auto model = test::toy_model();
  GenerationOptions options;
  StopRule rule(model->tokenizer(), options, 2);
  CHECK_FALSE(rule.due());
  CHECK_FALSE(rule.push(70).end);
  CHECK(rule.push(70).end == FinishReason::length);
}

TEST_CASE("half a character is never shown, and comes as U+FFFD when the answer ends within it", "[actors]") {
  const auto model = test::toy_model();
  GenerationOptions options;
  StopRule rule(model->tokenizer(), options, 1000);
  CHECK(rule.push(3 + 0xC3).text.empty());
  CHECK(rule.push(3 + 0xA9).text == "\xC3\xA9");
  rule.push(3 + 0xE2);
  CHECK(rule.push(2).tail == "\xEF\xBF\xBD");
}

TEST_CASE("a timer that comes in time is not armed again, and an older one does not count", "[actors]") {
  WakeTimer timer;
  const auto now = WakeTimer::Clock::time_point{} + 1h;
  const auto first = timer.arm(now + 10ms, now);
  REQUIRE(first);
  CHECK(first->wait == 10ms);
  CHECK_FALSE(timer.arm(now + 15ms, now));
  const auto second = timer.arm(now + 5ms, now);
  REQUIRE(second);
  CHECK_FALSE(timer.rings(first->number));
  CHECK(timer.rings(second->number));
  CHECK(timer.arm(now + 1h, now)->wait == WakeTimer::wait_max);
}
