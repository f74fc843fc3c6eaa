#include "actors/prompt_lookup.hpp"

#include <algorithm>
#include <bit>

namespace troupe {

void PromptLookup::push(Token token) {
  const bool guessed = length_ != 0;
  const bool right = guessed && text_[source_] == token;
  if (guessed) learn(right);
  text_.push_back(token);
  if (right) {
    ++source_;
    length_ = std::min(length_ + 1, match_max);
  } else {
    find_match();
  }
  if (text_.size() >= match_min) index(text_.size());
}

std::vector<Token> PromptLookup::propose(std::size_t tokens_max) const {
  std::vector<Token> tokens;
  if (length_ == 0) return tokens;
  // Where the text ends the guesses go on from their own beginning: a text that repeats goes on repeating.
  const std::size_t period = text_.size() - source_;
  for (std::size_t i = 0; i < tokens_max; ++i) tokens.push_back(text_[source_ + i % period]);
  return tokens;
}

double PromptLookup::rate() const {
  return length_ == 0 ? 0 : rates_[bucket()];
}

std::size_t PromptLookup::bucket() const {
  return std::min<std::size_t>(std::bit_width(length_) - 2, rates_.size() - 1);
}

void PromptLookup::learn(bool right) {
  constexpr double share = 0.125;
  double& rate = rates_[bucket()];
  rate += share * ((right ? 1 : 0) - rate);
}

/// The longest match among the latest places that may be one.
void PromptLookup::find_match() {
  constexpr int places_max = 8;
  length_ = 0;
  if (text_.size() < match_min || latest_.empty()) return;
  Position place = latest_[slot_of(text_.size())];
  for (int i = 0; i < places_max && place != nowhere && length_ < match_max; ++i) {
    const std::size_t end = place + match_min;
    const std::size_t length = match_length(end);
    if (length >= match_min && length > length_) {
      length_ = length;
      source_ = end;
    }
    place = before_[place];
  }
}

/// How many tokens in front of `end` are those at the end of the text.
std::size_t PromptLookup::match_length(std::size_t end) const {
  std::size_t length = 0;
  while (length < std::min(end, match_max) && text_[end - 1 - length] == text_[text_.size() - 1 - length])
    ++length;
  return length;
}

/// Of the two tokens in front of `end`.
std::size_t PromptLookup::slot_of(std::size_t end) const {
  const std::uint64_t pair = std::uint64_t{static_cast<std::uint32_t>(text_[end - 2])} << 32 |
                             static_cast<std::uint32_t>(text_[end - 1]);
  return (pair * 0x9E3779B97F4A7C15U >> 32) % latest_.size();
}

void PromptLookup::index(std::size_t end) {
  constexpr std::size_t slots_min = 256;
  const auto link = [this](std::size_t place) {
    Position& latest = latest_[slot_of(place + match_min)];
    before_[place] = latest;
    latest = static_cast<Position>(place);
  };
  before_.push_back(nowhere);
  if (before_.size() <= latest_.size()) return link(end - match_min);
  latest_.assign(std::max(slots_min, 2 * latest_.size()), nowhere);
  for (std::size_t place = 0; place < before_.size(); ++place) link(place);
}

}  // namespace troupe
