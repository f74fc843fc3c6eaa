#include "tokenizer/spm.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/check.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"

namespace troupe {
namespace {

constexpr std::string_view space_mark = "\xE2\x96\x81";  // U+2581
constexpr Token no_token = -1;
// Positions are 32 bits wide and a space takes three bytes while it is worked on.
constexpr std::size_t text_bytes_max = std::size_t{1} << 30;

void append_with_spaces(std::string& out, std::string_view spelling) {
  for (std::size_t at = 0;;) {
    const std::size_t mark = spelling.find(space_mark, at);
    out += spelling.substr(at, mark - at);
    if (mark == std::string_view::npos) return;
    out += ' ';
    at = mark + space_mark.size();
  }
}

std::string with_marks(std::string_view text, bool space_before) {
  std::string out;
  const auto spaces = static_cast<std::size_t>(std::count(text.begin(), text.end(), ' '));
  out.reserve(text.size() + 2 * spaces + space_mark.size());
  if (space_before) out += space_mark;
  for (char c : text) {
    if (c == ' ') {
      out += space_mark;
    } else {
      out += c;
    }
  }
  return out;
}

std::vector<std::string> pieces_of(const Vocabulary& vocabulary) {
  std::vector<std::string> pieces(vocabulary.size());
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (vocabulary.types[i] == TokenType::byte) {
      pieces[i] = static_cast<char>(spelled_byte(vocabulary.spellings[i]).value());
    } else {
      append_with_spaces(pieces[i], vocabulary.spellings[i]);
    }
  }
  return pieces;
}

bool is_mergeable(TokenType type) {
  return type == TokenType::normal || type == TokenType::user_defined || type == TokenType::unused;
}

}  // namespace

/// The merging of one stretch of text after another, with buffers that are used again.
class SpmTokenizer::Merger {
 public:
  Merger(const SpmTokenizer& tokenizer, std::vector<Token>& out) : tokenizer_(tokenizer), out_(out) {}

  /// One more character, behind the last in memory.
  void add(std::string_view character) {
    const auto index = static_cast<std::uint32_t>(symbols_.size());
    symbols_.push_back(
        {character.data(), static_cast<std::uint32_t>(character.size()), index - 1, index + 1});
  }

  /// Merges the characters added since the last call and puts out their tokens.
  Status flush() {
    if (symbols_.empty()) return {};
    symbols_.front().previous = none;
    symbols_.back().next = none;
    for (std::uint32_t right = 1; right < symbols_.size(); ++right) try_pair(right - 1, right);
    while (!queue_.empty()) {
      std::pop_heap(queue_.begin(), queue_.end(), std::greater<>());
      const Pair pair = queue_.back();
      queue_.pop_back();
      merge(pair);
    }
    for (std::uint32_t i = 0; i != none; i = symbols_[i].next) TROUPE_TRY_STATUS(put_out(symbols_[i]));
    symbols_.clear();
    return {};
  }

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFF;

  struct Symbol {
    const char* begin;
    std::uint32_t bytes;  // 0: merged into the one to its left
    std::uint32_t previous;
    std::uint32_t next;

    std::string_view text() const { return {begin, bytes}; }
  };

  // Two neighbours that together are a piece. Stale once either has merged with another.
  struct Pair {
    std::uint64_t order;  // rank of the score, then position of the left one: the least merges first
    std::uint32_t right;
    std::uint32_t bytes;

    std::uint32_t left() const { return static_cast<std::uint32_t>(order); }
    bool operator>(const Pair& other) const { return order > other.order; }
  };

  void try_pair(std::uint32_t left, std::uint32_t right) {
    if (left == none || right == none) return;
    const std::uint32_t bytes = symbols_[left].bytes + symbols_[right].bytes;
    if (bytes > tokenizer_.mergeable_bytes_max_) return;
    const auto found = tokenizer_.mergeable_.find(std::string_view(symbols_[left].begin, bytes));
    if (found == tokenizer_.mergeable_.end()) return;
    queue_.push_back({std::uint64_t{found->second.rank} << 32 | left, right, bytes});
    std::push_heap(queue_.begin(), queue_.end(), std::greater<>());
  }

  void merge(const Pair& pair) {
    Symbol& left = symbols_[pair.left()];
    Symbol& right = symbols_[pair.right];
    if (left.bytes == 0 || right.bytes == 0 || left.bytes + right.bytes != pair.bytes) return;
    left.bytes = pair.bytes;
    left.next = right.next;
    right.bytes = 0;
    if (left.next != none) symbols_[left.next].previous = pair.left();
    try_pair(left.previous, pair.left());
    try_pair(pair.left(), left.next);
  }

  Status put_out(const Symbol& symbol) {
    const std::string_view text = symbol.text();
    if (const auto found = tokenizer_.mergeable_.find(text); found != tokenizer_.mergeable_.end()) {
      out_.push_back(found->second.token);
      return {};
    }
    const auto token_of = [&](char byte) {
      return tokenizer_.byte_tokens_[static_cast<unsigned char>(byte)];
    };
    if (std::all_of(text.begin(), text.end(), [&](char byte) { return token_of(byte) != no_token; })) {
      std::transform(text.begin(), text.end(), std::back_inserter(out_), token_of);
      return {};
    }
    if (const auto unknown = tokenizer_.vocabulary().unknown) {
      out_.push_back(*unknown);
      return {};
    }
    return Error{Errc::bad_argument,
                 "the vocabulary has no token for " +
                     (text == space_mark ? std::string("' ' (a space)") : in_quotes(text)) +
                     ", no bytes to spell it with and no unknown token"};
  }

  const SpmTokenizer& tokenizer_;
  std::vector<Token>& out_;
  std::vector<Symbol> symbols_;
  std::vector<Pair> queue_;  // a heap
};

VocabularyDefaults SpmTokenizer::defaults() {
  VocabularyDefaults defaults;
  defaults.needs_scores = true;
  defaults.byte_tokens = true;
  defaults.adds_bos = true;
  defaults.adds_space_prefix = true;
  defaults.unknown = 0;
  defaults.bos = 1;
  defaults.eos = 2;
  return defaults;
}

SpmTokenizer::SpmTokenizer(Vocabulary vocabulary)
    : SpmTokenizer(pieces_of(vocabulary), std::move(vocabulary)) {}

SpmTokenizer::SpmTokenizer(std::vector<std::string> pieces, Vocabulary&& vocabulary_in)
    : VocabularyTokenizer(std::move(vocabulary_in), std::move(pieces)) {
  TROUPE_CHECK(vocabulary().scores.size() == vocabulary().size());
  rank_mergeable_pieces();
  find_byte_tokens();
}

/// Control, unknown and byte tokens stay out: whatever a text says, only parse_special may make them of it.
void SpmTokenizer::rank_mergeable_pieces() {
  const Vocabulary& v = vocabulary();
  std::vector<double> ranked = v.scores;
  std::sort(ranked.begin(), ranked.end(), std::greater<>());
  ranked.erase(std::unique(ranked.begin(), ranked.end()), ranked.end());
  for (std::size_t i = 0; i < v.size(); ++i) {
    const std::string_view spelling = v.spellings[i];
    if (!is_mergeable(v.types[i]) || spelling.empty()) continue;
    const auto rank =
        std::lower_bound(ranked.begin(), ranked.end(), v.scores[i], std::greater<>()) - ranked.begin();
    // Of equal spellings the lowest id stays.
    mergeable_.try_emplace(spelling, Entry{static_cast<Token>(i), static_cast<std::uint32_t>(rank)});
    mergeable_bytes_max_ = std::max(mergeable_bytes_max_, spelling.size());
    std::size_t lead = 0;
    while (spelling.substr(lead).starts_with(space_mark)) lead += space_mark.size();
    if (spelling.find(space_mark, lead) != std::string_view::npos) space_only_leads_ = false;
  }
}

/// A byte is spelled <0xNN>, or else is a piece of that one byte.
void SpmTokenizer::find_byte_tokens() {
  const Vocabulary& v = vocabulary();
  for (unsigned byte = 0; byte < byte_tokens_.size(); ++byte) {
    const char piece[] = {static_cast<char>(byte)};
    const auto found = mergeable_.find(std::string_view(piece, 1));
    byte_tokens_[byte] = found == mergeable_.end() ? no_token : found->second.token;
  }
  for (std::size_t i = v.size(); i-- > 0;) {  // of several the lowest id stays
    if (v.types[i] == TokenType::byte) {
      byte_tokens_[spelled_byte(v.spellings[i]).value()] = static_cast<Token>(i);
    }
  }
}

Result<std::vector<Token>> SpmTokenizer::encode(std::string_view text, EncodeOptions options) const {
  if (text.size() > text_bytes_max) {
    return Error{Errc::too_large, "a text of " + std::to_string(text.size()) +
                                      " bytes is too long to encode at once; "
                                      "the limit is " +
                                      std::to_string(text_bytes_max)};
  }
  std::vector<Token> out;
  if (options.add_special && adds_bos()) out.push_back(*bos());
  Merger merger(*this, out);
  bool space_before = vocabulary().adds_space_prefix;
  for (const SpelledTokens::Part& part : spelled().split(text, options)) {
    if (part.token) {
      out.push_back(*part.token);
      space_before = vocabulary().adds_space_prefix;
    } else {
      TROUPE_TRY_STATUS(encode_raw(part.text, space_before, merger));
      space_before = false;
    }
  }
  if (options.add_special && adds_eos()) out.push_back(*eos());
  return out;
}

Status SpmTokenizer::encode_raw(std::string_view text, bool space_before, Merger& merger) const {
  const std::string marked = with_marks(text, space_before);
  bool in_word = false;  // the last character was no space
  for (std::string_view rest = marked; !rest.empty();) {
    const std::string_view character = rest.substr(0, utf8_step(rest).bytes);
    const bool is_space = character == space_mark;
    if (space_only_leads_ && is_space && in_word) TROUPE_TRY_STATUS(merger.flush());
    merger.add(character);
    in_word = !is_space;
    rest.remove_prefix(character.size());
  }
  return merger.flush();
}

std::string SpmTokenizer::decode(std::span<const Token> tokens, bool render_special) const {
  const Vocabulary& v = vocabulary();
  std::string out;
  bool drop_space = v.adds_space_prefix;
  for (const Token token : tokens) {
    if (!v.holds(token)) continue;
    // encode() puts a space behind what it found by its spelling, and none in front. Unknown tokens mostly
    // come from elsewhere, and a user-defined token with a space mark in it comes from merging.
    const bool by_spelling =
        v.type(token) == TokenType::control ||
        (v.type(token) == TokenType::user_defined && v.spelling(token).find(space_mark) == std::string::npos);
    std::string_view text = piece(token);
    if (is_control(token) && render_special) text = v.spelling(token);
    if (drop_space && !by_spelling && text.starts_with(' ')) text.remove_prefix(1);
    out += text;
    drop_space = v.adds_space_prefix && by_spelling;
  }
  return out;
}

}  // namespace troupe
