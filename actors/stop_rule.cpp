#include "actors/stop_rule.hpp"

#include <algorithm>
#include <utility>

namespace troupe {

std::size_t StopRule::left() const noexcept {
  return std::min<std::size_t>(options_.max_tokens, room_) - tokens_;
}

std::optional<FinishReason> StopRule::due() const {
  if (left() == 0) return FinishReason::length;
  return std::nullopt;
}

StopRule::Outcome StopRule::push(Token token) {
  Outcome outcome;
  const auto& stops = options_.stop_tokens;
  const bool ends = (!options_.ignore_eos && tokenizer_.ends_generation(token)) ||
                    std::find(stops.begin(), stops.end(), token) != stops.end();
  if (ends) {
    outcome.end = FinishReason::stop;
    outcome.tail = take_held();
    return outcome;
  }
  ++tokens_;
  outcome.emit = true;
  held_ += detokenizer_.push(token);
  if (const auto at = find_stop()) {
    outcome.text = held_.substr(0, *at);
    outcome.end = FinishReason::stop;
    held_.clear();
    return outcome;
  }
  outcome.text = hold_back_stop_prefix();
  outcome.end = due();
  if (outcome.end) outcome.tail = take_held();
  return outcome;
}

std::string StopRule::take_held() {
  return std::exchange(held_, {}) + detokenizer_.finish();
}

/// Where the first stop text begins in held_.
std::optional<std::size_t> StopRule::find_stop() const {
  std::size_t first = std::string::npos;
  for (const std::string& stop : options_.stop) first = std::min(first, held_.find(stop));
  return first == std::string::npos ? std::nullopt : std::optional(first);
}

/// Takes from held_ all but the longest suffix that begins a stop text.
std::string StopRule::hold_back_stop_prefix() {
  std::size_t keep = 0;
  for (const std::string& stop : options_.stop) {
    for (std::size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
    }
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

const char* finish_reason_name(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::cancelled: return "cancelled";
    case FinishReason::deadline: return "deadline";
  }
  return "unknown";
}

}  // namespace troupe
