#pragma once
// Internal to batches, the engine's and Asio's: what becomes of a prompt that the engine refused.

#include <algorithm>
#include <chrono>
#include <optional>
#include <variant>

#include "troupe/error.hpp"
#include "troupe/generation.hpp"

namespace troupe::detail {

/// The answer to a prompt that ended before it could begin.
inline Generation unbegun(FinishReason reason) {
  Generation none;
  none.finish_reason = reason;
  return none;
}

/// When a refused prompt is to be tried again, or how it has ended.
using AfterRefusal = std::variant<std::chrono::steady_clock::time_point, Result<Generation>>;

/// A full queue is waited out until the deadline, which ends a prompt alike before its turn and in it, or
/// until the batch is given up. Every other refusal is the prompt's end.
inline AfterRefusal after_refusal(Error refusal,
                                  std::optional<std::chrono::steady_clock::time_point> deadline,
                                  bool given_up, std::chrono::steady_clock::time_point now) {
  if (refusal.code == Errc::deadline) return unbegun(FinishReason::deadline);
  if (refusal.code != Errc::queue_full) return refusal;
  if (deadline && *deadline <= now) return unbegun(FinishReason::deadline);
  if (given_up) return unbegun(FinishReason::cancelled);
  const auto retry = now + std::chrono::milliseconds(refusal.retry_after_ms);
  return deadline ? std::min(*deadline, retry) : retry;
}

}  // namespace troupe::detail
