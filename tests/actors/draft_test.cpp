// Guessed tokens: where they come from, how many are tried, and that they change nothing but the steps.

#include <set>

#include "actors/draft_plan.hpp"
#include "actors/prompt_lookup.hpp"
#include "actors/world.hpp"
#include "base/random.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using troupe::test::check_same_answers;
using troupe::test::Record;
using troupe::test::World;

namespace {

using Tokens = std::vector<Token>;

PromptLookup lookup_of(const Tokens& text) {
  PromptLookup lookup;
  for (const Token token : text) lookup.push(token);
  return lookup;
}

/// Steps that cost `first` seconds and `more` for each further row, as far as they were measured.
StepBudget measured(double first, double more, std::initializer_list<std::size_t> rows) {
  StepBudget budget(256, 2);
  for (const std::size_t n : rows)
    budget.observe(n, StepBudget::Duration(first + more * static_cast<double>(n - 1)));
  return budget;
}

std::vector<std::size_t> choose(const StepBudget& budget, const std::vector<DraftOffer>& offers) {
  DraftPlan plan;
  return plan.choose(offers, budget);
}

}  // namespace

TEST_CASE("a guess is what followed the last tokens when they stood there before", "[actors]") {
  CHECK(lookup_of({1, 2, 3, 4, 5, 9, 2, 3}).propose(3) == Tokens{4, 5, 9});
  CHECK(lookup_of({1, 2, 3, 4, 5, 9, 2, 3}).propose(0).empty());
  CHECK(lookup_of({1, 2, 3, 4, 5, 9, 3}).propose(3).empty());  // one token recurs by chance
  CHECK(lookup_of({7}).propose(3).empty());
  CHECK(lookup_of({}).propose(3).empty());
  CHECK(lookup_of({1, 2, 3, 4}).rate() == 0);
}

TEST_CASE("the longest match is taken, and of equal ones the latest", "[actors]") {
  CHECK(lookup_of({1, 2, 3, 10, 2, 3, 20, 1, 2, 3}).propose(1) == Tokens{10});
  CHECK(lookup_of({9, 2, 3, 10, 8, 2, 3, 20, 7, 2, 3}).propose(1) == Tokens{20});
}

TEST_CASE("a text that repeats is guessed to go on repeating, as far as is asked", "[actors]") {
  CHECK(lookup_of({1, 2, 3, 1, 2, 3, 1, 2}).propose(7) == Tokens{3, 1, 2, 3, 1, 2, 3});
  CHECK(lookup_of({5, 5, 5}).propose(4) == Tokens{5, 5, 5, 5});
}

TEST_CASE("a lookup finds in a long text what a search from the end finds", "[actors]") {
  Tokens text;
  PromptLookup lookup;
  std::size_t found = 0;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    text.push_back(static_cast<Token>(60 * uniform_at(3, i)));
    lookup.push(text.back());
    const Tokens guess = lookup.propose(1);
    bool recurs = false;
    for (std::size_t end = 2; end < text.size() && !recurs; ++end)
      recurs = std::equal(text.end() - 2, text.end(), text.begin() + static_cast<std::ptrdiff_t>(end) - 2);
    REQUIRE(guess.empty() == !recurs);
    found += recurs;
  }
  CHECK(found > 1000);
}

TEST_CASE("how much guesses are worth is learned without trying them", "[actors]") {
  Tokens periodic, random;
  for (std::uint64_t i = 0; i < 400; ++i) {
    periodic.push_back(static_cast<Token>(i % 40));
    random.push_back(static_cast<Token>(12 * uniform_at(5, i)));
  }
  CHECK(lookup_of(periodic).rate() > 0.95);
  PromptLookup lookup = lookup_of(random);
  CHECK(lookup.rate() < 0.4);
  for (int round = 0; round < 3; ++round) {
    for (const Token token : periodic) lookup.push(token);
  }
  CHECK(lookup.rate() > 0.95);
  for (std::uint64_t i = 0; i < 400; ++i) lookup.push(static_cast<Token>(12 * uniform_at(6, i)));
  CHECK(lookup.rate() < 0.4);
}

TEST_CASE("drafts are taken where rows are cheap, and not where each costs what the first does", "[actors]") {
  const std::vector<DraftOffer> likely{{8, 0.95}}, unlikely{{8, 0.3}};
  const StepBudget cheap = measured(0.010, 0.0005, {1, 8, 64});
  CHECK(choose(cheap, likely)[0] == 8);
  CHECK(choose(cheap, unlikely)[0] >= 1);
  CHECK(choose(cheap, unlikely)[0] <= 3);
  const StepBudget dear = measured(0.010, 0.010, {1, 8, 64});
  CHECK(choose(dear, likely)[0] == 0);
  const StepBudget steep = measured(0.010, 0.003, {1, 8, 64});
  CHECK(choose(steep, likely)[0] > 1);
  CHECK(choose(steep, unlikely)[0] == 0);
}

TEST_CASE("the likeliest drafts come first, and running streams are not held up for them", "[actors]") {
  const StepBudget budget = measured(0.010, 0.001, {1, 8, 64});
  const auto drafts = choose(budget, {{4, 0.2}, {4, 0.98}, {0, 0}, {4, 0.9}});
  CHECK(drafts[0] == 0);
  CHECK(drafts[1] == 4);
  CHECK(drafts[2] == 0);
  CHECK(drafts[3] >= 1);
  // Twice the step without them is what prompts may take, too.
  const std::vector<DraftOffer> eager(4, {100, 1});
  const auto all = choose(budget, eager);
  CHECK(all[0] + all[1] + all[2] + all[3] + 4 == budget.rows_for(4));
  CHECK(choose(StepBudget(4, 2), eager) == std::vector<std::size_t>(4, 0));  // nothing is measured yet
}

TEST_CASE("what rows cost is found out by trying, and tried again now and then", "[actors]") {
  DraftPlan plan;
  const std::vector<DraftOffer> offers{{8, 0.95}};
  StepBudget budget(256, 2);
  CHECK(plan.choose(offers, budget)[0] == 0);
  budget.observe(1, StepBudget::Duration(0.001));
  const std::size_t tried = plan.choose(offers, budget)[0];
  CHECK(tried > 0);
  budget.observe(1 + tried, StepBudget::Duration(0.1));  // by an accident of the machine
  const auto first_of = [&](double drafted_seconds) {
    for (std::size_t steps = 0; steps < 1000; ++steps) {
      const std::size_t drafts = plan.choose(offers, budget)[0];
      budget.observe(1 + drafts, StepBudget::Duration(drafts == 0 ? 0.001 : drafted_seconds));
      if (drafts >= tried) return steps;
    }
    return std::size_t{1000};
  };
  CHECK(first_of(0.0012) == DraftPlan::retry_steps_min - 1);
  CHECK(first_of(0.1) == 0);
  while (plan.choose(offers, budget)[0] != 0) budget.observe(1 + tried, StepBudget::Duration(0.1));
  for (std::size_t wait = DraftPlan::retry_steps_min; wait < 500; wait *= 2)
    CHECK(first_of(0.1) >= wait - 2);  // the loop before has asked once
}

namespace {

EngineOptions with_drafts(std::uint32_t draft_tokens_max, std::uint32_t pool_max = 8) {
  EngineOptions options = test::patient();
  options.draft_tokens_max = draft_tokens_max;
  options.pool_max = pool_max;
  options.restarts_max = 10'000;
  options.replays_max = 1000;
  return options;
}

/// A request whose text repeats itself, until it does not, in a world with that habit.
Submission repetitive(World& world, std::uint64_t number, std::uint32_t max_tokens) {
  world.ledger->habit = 9;
  Submission submission = World::request(3 + number % 40, max_tokens, number);
  auto work = std::make_shared<Work>(*submission.work);
  work->options.sampling.temperature = 0.3F;
  submission.work = std::move(work);
  return submission;
}

void submit_repetitive(World& world, std::size_t count, std::uint32_t max_tokens) {
  for (std::uint64_t i = 0; i < count; ++i)
    REQUIRE_FALSE(world.submit(repetitive(world, i, max_tokens)).refusal);
}

std::map<StreamTag, Record> without_drafts(std::size_t count, std::uint32_t max_tokens) {
  World world(with_drafts(0));
  submit_repetitive(world, count, max_tokens);
  world.settle();
  CHECK(world.counters->draft_tokens == 0);
  return world.records;
}

}  // namespace

TEST_CASE("drafts change no token of any stream, and save steps", "[actors]") {
  const auto want = without_drafts(30, 120);
  World plain(with_drafts(0, 1));
  submit_repetitive(plain, 30, 120);
  plain.settle();
  for (const std::uint32_t drafts : {1U, 4U, 30U}) {
    World world(with_drafts(drafts, 1));
    submit_repetitive(world, 30, 120);
    world.settle();
    check_same_answers(world.records, want);
    const EngineStats stats = world.counters->stats();
    CHECK(stats.draft_tokens_accepted > stats.draft_tokens / 4);
    CHECK(stats.draft_tokens_accepted < stats.draft_tokens);
    CHECK(stats.steps + stats.draft_tokens_accepted == plain.counters->stats().steps);
    CHECK(stats.steps < plain.counters->stats().steps * 2 / 3);
    CHECK(world.ledger->rows_max <= std::max<std::size_t>(1 + drafts, 42));
    CHECK(world.ledger->open.empty());
  }
  World world(with_drafts(4));
  submit_repetitive(world, 30, 120);
  world.settle();
  check_same_answers(world.records, want);
}

TEST_CASE("steps with a prompt in them take no drafts along", "[actors]") {
  World world(with_drafts(4));
  world.ledger->during = [&](const StepBatch& batch) {
    std::map<SequenceId, std::size_t> rows, wanted;
    for (const StepRow& row : batch.rows) {
      ++rows[row.sequence];
      wanted[row.sequence] += row.wants_logits;
    }
    bool prompt = false, drafts = false;
    for (const auto& [id, n] : rows) {
      prompt = prompt || world.ledger->open.at(id).empty() || wanted[id] != n;
      drafts = drafts || wanted[id] > 1;
    }
    CHECK_FALSE((prompt && drafts));
  };
  for (std::uint64_t i = 0; i < 40; ++i) {
    world.submit(repetitive(world, i, 60));
    world.run_steps(7);
  }
  world.settle();
  CHECK(world.counters->draft_tokens > 100);
}

TEST_CASE("a reader is never sent more than its window, and an answer has no more than max_tokens",
          "[actors]") {
  const auto want = without_drafts(1, 100);
  for (const std::uint32_t window : {1U, 2U, 5U}) {
    World world(with_drafts(20));
    Submission slow = repetitive(world, 0, 100);
    slow.window_tokens = window;
    const auto id = world.submit(std::move(slow)).request;
    std::size_t taken = 0;
    for (; world.records[1].ends == 0 && taken < 200; taken += 1 + taken % window) {
      world.settle();
      REQUIRE(world.records[1].tokens.size() <= taken + window);
      world.consumed(id, static_cast<std::uint32_t>(1 + taken % window));
    }
    check_same_answers(world.records, want);
  }
  CHECK(want.at(1).tokens.size() == 100);
}

TEST_CASE("generators and batchers that die in the middle of drafts cost no token", "[actors]") {
  const auto want = without_drafts(40, 60);
  World world(with_drafts(6));
  submit_repetitive(world, 40, 60);
  for (int i = 0; i < 60; ++i) {
    world.run_steps(1 + static_cast<std::uint64_t>(i % 3));
    if (i % 4 == 0) {
      world.kill(world.batchers.back());
    } else {
      world.kill(world.generators[world.generators.size() - 1 - static_cast<std::size_t>(i) % 3]);
    }
    world.pass(1s);
  }
  world.settle();
  check_same_answers(world.records, want);
  CHECK(world.counters->replays > 20);
  CHECK(world.counters->draft_tokens_accepted > 100);
  CHECK(world.ledger->open.empty());
}

TEST_CASE("a request whose guess breaks a step gets its answer all the same", "[actors]") {
  const auto want = without_drafts(10, 60);
  World world(with_drafts(6));
  int failures = 0;
  world.ledger->fails = [&](const StepBatch& batch) {
    // Whatever holds more than one guess.
    const bool fail = batch.logits_rows() > 2;
    failures += fail;
    return fail;
  };
  submit_repetitive(world, 10, 60);
  world.settle();
  CHECK(failures > 0);
  check_same_answers(world.records, want);
}

TEST_CASE("cancels in the middle of drafts free the pages within one step", "[actors]") {
  World world(with_drafts(6));
  submit_repetitive(world, 60, 100);
  const auto want = without_drafts(60, 100);
  for (RequestId id = 1; id <= 50; ++id) {
    world.run_steps(1);
    world.cancel(id);
    while (world.ledger->open.size() > world.counters->requests_running) REQUIRE(world.run_once());
  }
  world.settle();
  for (const auto& [tag, record] : world.records) {
    CHECK(record.ends == 1);
    const Tokens& whole = want.at(tag).tokens;
    REQUIRE(record.tokens.size() <= whole.size());
    CHECK(std::equal(record.tokens.begin(), record.tokens.end(), whole.begin()));
  }
  CHECK(world.ledger->open.empty());
}
