#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <deque>
#include <map>
#include <set>
#include <string_view>

#include "endurance/load.hpp"
#include "endurance/runs.hpp"
#include "endurance/violation.hpp"

namespace troupe::test {
namespace {

constexpr std::size_t streams = 32;  // at a time; a quarter of them runs

/// Every fourth request is left alone.
bool bystander(std::uint64_t number) {
  return number % 4 == 0;
}

/// When the others are cancelled: with so many tokens, or after so many events of any stream.
class CancelPlan {
 public:
  explicit CancelPlan(std::uint64_t seed) : draws_(seed, 6) {}

  void admitted(std::uint64_t number) {
    if (draws_.chance(0.3)) {
      due_.emplace(events_ + draws_.between(0, 400), number);
    } else {
      at_tokens_[number] = draws_.between(0, 30);
    }
  }

  /// Those to be cancelled after an event of stream `number`, which has so many tokens.
  std::vector<std::uint64_t> see(std::uint64_t number, std::size_t tokens) {
    ++events_;
    std::vector<std::uint64_t> cancels;
    while (!due_.empty() && due_.begin()->first <= events_) {
      cancels.push_back(due_.begin()->second);
      due_.erase(due_.begin());
    }
    const auto found = at_tokens_.find(number);
    if (found != at_tokens_.end() && tokens >= found->second) {
      cancels.push_back(number);
      at_tokens_.erase(found);
    }
    return cancels;
  }

 private:
  Draws draws_;
  std::uint64_t events_ = 0;
  std::multimap<std::uint64_t, std::uint64_t> due_;
  std::map<std::uint64_t, std::size_t> at_tokens_;
};

/// Without the U+FFFD that stands for a character which a cancel has cut.
std::string_view uncut(std::string_view text) {
  while (text.ends_with("\uFFFD")) text.remove_suffix(3);
  return text;
}

bool begins_with(const Answer& whole, const Answer& part) {
  return part.tokens.size() <= whole.tokens.size() &&
         std::equal(part.tokens.begin(), part.tokens.end(), whole.tokens.begin()) &&
         whole.text.starts_with(uncut(part.text));
}

void print(const std::vector<std::size_t>& counts) {
  std::size_t closed = 0;
  for (const std::size_t count : counts) closed += count;
  std::size_t seen = 0, median = 0, p99 = 0;
  for (std::size_t steps = 0; steps < counts.size(); ++steps) {
    if (seen * 2 < closed) median = steps;
    if (seen * 100 < closed * 99) p99 = steps;
    seen += counts[steps];
  }
  std::printf(
      "  steps that began between a cancel and the end of its sequence: P50 %zu, P99 %zu, max %zu, of %zu\n",
      median, p99, counts.empty() ? 0 : counts.size() - 1, closed);
}

}  // namespace

void run_cancels(const std::shared_ptr<const Model>& model, const CancelRun& run) {
  const auto book = std::make_shared<StepBook>();
  std::map<std::uint64_t, Answer> answers;
  std::uint64_t submitted = 0, cancels = 0;
  {
    Load load(model, {}, book);
    CancelPlan plan(run.seed);
    std::set<std::uint64_t> planned;
    while (cancels < run.cancels || load.outstanding() != 0) {
      while (cancels < run.cancels && load.outstanding() < streams) load.submit(++submitted);
      const std::uint64_t number = load.next();
      const Answer& answer = load.answers().at(number);
      if (!bystander(number) && planned.insert(number).second) plan.admitted(number);
      for (const std::uint64_t victim : plan.see(number, answer.tokens.size())) {
        if (load.answers().at(victim).ended()) continue;
        book->count_steps_of(victim);
        load.cancel(victim);
        ++cancels;
      }
    }
    load.check_gauges();
    answers = load.answers();
  }

  std::vector<std::uint64_t> numbers;  // those left alone, and some of the others
  for (const auto& [number, answer] : answers) {
    if (bystander(number) || number % 16 == 1) numbers.push_back(number);
  }
  const std::uint64_t compared = book->rows_compared();
  const auto want = undisturbed(model, book, numbers);
  std::uint64_t cancelled = 0;
  for (const auto& [number, answer] : answers) {
    const bool was_cancelled = answer.reason == FinishReason::cancelled;
    cancelled += was_cancelled;
    if (was_cancelled && bystander(number))
      violation("request " + std::to_string(number) + " was cancelled, which nobody asked for");
    const auto calm = want.find(number);
    if (calm == want.end()) continue;
    const bool same = was_cancelled
                          ? begins_with(calm->second, answer)
                          : answer.tokens == calm->second.tokens && answer.text == calm->second.text &&
                                answer.reason == calm->second.reason;
    if (!same)
      violation("request " + std::to_string(number) + " answers differently beside those that are cancelled");
  }
  std::printf("%" PRIu64 " cancels, of which %" PRIu64
              " came in time; %zu requests answered as if undisturbed; %" PRIu64 " rows of logits compared\n",
              cancels, cancelled, numbers.size(), book->rows_compared() - compared);
  print(book->step_counts());
}

}  // namespace troupe::test
