// What becomes of a prompt of a batch that was refused.

#include "troupe/batch_refusal.hpp"

#include "support/catch.hpp"

using namespace troupe;
using namespace std::chrono_literals;
using detail::after_refusal;

namespace {

using Clock = std::chrono::steady_clock;

const Clock::time_point now = Clock::time_point() + 1h;
const Error full{Errc::queue_full, "full", 40};

/// When it is tried again.
std::optional<Clock::time_point> retry(const detail::AfterRefusal& after) {
  const auto* time = std::get_if<Clock::time_point>(&after);
  return time != nullptr ? std::optional(*time) : std::nullopt;
}

/// How it has ended, if without an error.
std::optional<FinishReason> finish(const detail::AfterRefusal& after) {
  const auto* result = std::get_if<Result<Generation>>(&after);
  return result != nullptr && *result ? std::optional((*result)->finish_reason) : std::nullopt;
}

}  // namespace

TEST_CASE("a prompt that a full queue refuses is tried again when the queue says, or at its deadline",
          "[engine]") {
  CHECK(retry(after_refusal(full, std::nullopt, false, now)) == now + 40ms);
  CHECK(retry(after_refusal(full, now + 1s, false, now)) == now + 40ms);
  CHECK(retry(after_refusal(full, now + 7ms, false, now)) == now + 7ms);
  CHECK(retry(after_refusal(full, Clock::time_point::max(), false, now)) == now + 40ms);
}

TEST_CASE("a deadline ends a refused prompt alike, whether the batch or the engine finds that it has passed",
          "[engine]") {
  CHECK(finish(after_refusal(full, now, false, now)) == FinishReason::deadline);
  CHECK(finish(after_refusal(full, now - 1s, true, now)) == FinishReason::deadline);
  CHECK(finish(after_refusal({Errc::deadline, "late", 0}, now - 1s, false, now)) == FinishReason::deadline);
}

TEST_CASE("nobody waits for room in the queue once the batch is given up", "[engine]") {
  CHECK(finish(after_refusal(full, std::nullopt, true, now)) == FinishReason::cancelled);
  CHECK(finish(after_refusal(full, now + 1s, true, now)) == FinishReason::cancelled);
}

TEST_CASE("every other refusal is the prompt's own error", "[engine]") {
  for (const bool given_up : {false, true}) {
    const auto after = after_refusal({Errc::bad_argument, "top_p is 9", 0}, now - 1s, given_up, now);
    const auto* result = std::get_if<Result<Generation>>(&after);
    REQUIRE(result != nullptr);
    REQUIRE_FALSE(*result);
    CHECK(result->error().message == "top_p is 9");
  }
}
