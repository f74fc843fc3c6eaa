#include "tokenizer/spelled_tokens.hpp"

#include <algorithm>
#include <limits>
#include <queue>
#include <tuple>

namespace troupe {
namespace {

struct Match {
  std::size_t begin = 0;
  std::size_t bytes = 0;
  Token token = 0;

  std::size_t end() const { return begin + bytes; }
};

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

struct TakenMatch {
  Match match;
  std::size_t end = 0;  // behind the white space that goes with it
};

struct LessUrgent {
  bool operator()(const Match& a, const Match& b) const {
    return std::tie(b.bytes, a.token, a.begin) > std::tie(a.bytes, b.token, b.begin);
  }
};

/// How many bytes from `at` on a control token may take up.
std::size_t special_bytes_at(std::size_t at, const EncodeOptions& options) {
  if (!options.parse_special) return 0;
  if (!options.special_ranges) return std::numeric_limits<std::size_t>::max();
  const auto& ranges = *options.special_ranges;
  const auto range =
      std::partition_point(ranges.begin(), ranges.end(), [at](const TextRange& r) { return r.end <= at; });
  return range == ranges.end() || range->begin > at ? 0 : range->end - at;
}

bool is_found_by_spelling(TokenType type) {
  return type == TokenType::user_defined || type == TokenType::control || type == TokenType::unknown;
}

}  // namespace

SpelledTokens::SpelledTokens(const Vocabulary& vocabulary) : vocabulary_(vocabulary), first_byte_{} {
  for (std::size_t i = 0; i < vocabulary.size(); ++i) {
    if (is_found_by_spelling(vocabulary.types[i]) && !vocabulary.spellings[i].empty()) {
      sorted_.push_back(static_cast<Token>(i));
    }
  }
  const auto spelling = [&](Token token) -> const std::string& { return vocabulary.spelling(token); };
  // Of equal spellings the lowest id stays.
  std::stable_sort(sorted_.begin(), sorted_.end(),
                   [&](Token a, Token b) { return spelling(a) < spelling(b); });
  sorted_.erase(std::unique(sorted_.begin(), sorted_.end(),
                            [&](Token a, Token b) { return spelling(a) == spelling(b); }),
                sorted_.end());
  for (std::uint32_t i = 0; i < sorted_.size(); ++i) {
    Range& range = first_byte_[static_cast<unsigned char>(spelling(sorted_[i])[0])];
    if (range.begin == range.end) range.begin = i;
    range.end = i + 1;
  }
}

std::optional<Token> SpelledTokens::longest_at(std::string_view text, std::size_t at, std::size_t bytes_max,
                                               std::size_t special_bytes_max) const {
  bytes_max = std::min(bytes_max, text.size() - at);
  if (bytes_max == 0) return std::nullopt;
  std::optional<Token> longest;
  Range range = first_byte_[static_cast<unsigned char>(text[at])];
  // All of `range` begins with the first `depth` bytes at `at`; one that ends there sorts first.
  for (std::size_t depth = 1; range.begin < range.end; ++depth) {
    const Token first = sorted_[range.begin];
    if (vocabulary_.spelling(first).size() == depth) {
      if (depth <= special_bytes_max || vocabulary_.type(first) == TokenType::user_defined) longest = first;
      ++range.begin;
    }
    if (depth == bytes_max) break;
    const auto byte_of = [&](Token token) {
      return static_cast<unsigned char>(vocabulary_.spelling(token)[depth]);
    };
    const auto byte = static_cast<unsigned char>(text[at + depth]);
    const auto from = sorted_.begin() + range.begin;
    const auto to = sorted_.begin() + range.end;
    const auto low = std::partition_point(from, to, [&](Token token) { return byte_of(token) < byte; });
    const auto high = std::partition_point(low, to, [&](Token token) { return byte_of(token) == byte; });
    range = {static_cast<std::uint32_t>(low - sorted_.begin()),
             static_cast<std::uint32_t>(high - sorted_.begin())};
  }
  return longest;
}

/// Where the white space ends that a `token` in front of `at` takes with it, short of what is taken.
std::size_t SpelledTokens::end_of_dropped_space(std::string_view text, std::size_t at, Token token,
                                                const std::vector<bool>& taken) const {
  const auto& drops = vocabulary_.drops_space_behind;
  if (drops.empty() || !drops[static_cast<std::size_t>(token)]) return at;
  while (at < text.size() && is_space(text[at]) && !taken[at]) ++at;
  return at;
}

std::vector<SpelledTokens::Part> SpelledTokens::split(std::string_view text,
                                                      const EncodeOptions& options) const {
  if (text.empty()) return {};
  std::priority_queue<Match, std::vector<Match>, LessUrgent> queue;
  const auto look_at = [&](std::size_t at, std::size_t bytes_max) {
    if (const auto token = longest_at(text, at, bytes_max, special_bytes_at(at, options))) {
      queue.push({at, vocabulary_.spelling(*token).size(), *token});
    }
  };
  for (std::size_t at = 0; at < text.size() && !sorted_.empty(); ++at) {
    const Range& range = first_byte_[static_cast<unsigned char>(text[at])];
    if (range.begin < range.end) look_at(at, text.size());  // most bytes begin no spelling
  }
  if (queue.empty()) return {Part{text, std::nullopt}};

  std::vector<bool> taken(text.size());
  std::vector<TakenMatch> matches;
  while (!queue.empty()) {
    const Match match = queue.top();
    queue.pop();
    // What is taken in one go is at least as long as this match, so where they overlap it covers one of its
    // ends.
    if (taken[match.begin]) continue;
    if (!taken[match.end() - 1]) {
      const std::size_t end = end_of_dropped_space(text, match.end(), match.token, taken);
      std::fill(taken.begin() + static_cast<std::ptrdiff_t>(match.begin),
                taken.begin() + static_cast<std::ptrdiff_t>(end), true);
      matches.push_back({match, end});
      continue;
    }
    const auto free_end =
        std::find(taken.begin() + static_cast<std::ptrdiff_t>(match.begin), taken.end(), true);
    look_at(match.begin, static_cast<std::size_t>(free_end - taken.begin()) - match.begin);
  }

  std::sort(matches.begin(), matches.end(),
            [](const TakenMatch& a, const TakenMatch& b) { return a.match.begin < b.match.begin; });
  std::vector<Part> parts;
  std::size_t done = 0;
  for (const auto& [match, end] : matches) {
    if (match.begin > done) parts.push_back({text.substr(done, match.begin - done), std::nullopt});
    parts.push_back({text.substr(match.begin, match.bytes), match.token});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), std::nullopt});
  return parts;
}

}  // namespace troupe
