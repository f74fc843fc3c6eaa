#include "train/bpe_trainer.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <queue>
#include <unordered_map>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "tokenizer/pre_tokenizer.hpp"

namespace troupe::train {
namespace {

using Symbol = std::uint32_t;

/// GPT-2's byte alphabet: the bytes in the order of their tokens, and how each token is spelled.
struct Alphabet {
  std::array<Symbol, 256> token_of_byte{};
  std::vector<std::string> spellings;

  Alphabet() {
    const auto is_plain = [](unsigned byte) {
      return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    };
    for (unsigned byte = 0; byte < 256; ++byte)
      if (is_plain(byte)) add(byte, byte);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte)
      if (!is_plain(byte)) add(byte, next++);
  }

 private:
  void add(unsigned byte, char32_t character) {
    token_of_byte[byte] = static_cast<Symbol>(spellings.size());
    spellings.push_back(utf8_encode(character));
  }
};

struct Word {
  std::vector<Symbol> symbols;
  std::int64_t count = 0;
};

using Pair = std::uint64_t;
constexpr Pair pair_of(Symbol left, Symbol right) {
  return Pair{left} << 32 | right;
}

/// A pair with the count that it had when it was queued; counts only ever fall once a pair is complete, so an
/// entry that is out of date is queued again with its true count.
struct Candidate {
  std::int64_t count;
  Pair pair;
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Learner {
 public:
  explicit Learner(std::vector<Word> words) : words_(std::move(words)) {
    for (std::uint32_t w = 0; w < words_.size(); ++w) {
      const auto& s = words_[w].symbols;
      for (std::size_t i = 0; i + 1 < s.size(); ++i) count(pair_of(s[i], s[i + 1]), words_[w].count, w);
    }
    for (const auto& [pair, info] : pairs_) queue_.push({info.count, pair});
  }

  /// The most frequent pair; its count is below 2 when there is none worth a merge.
  Candidate best() {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      queue_.pop();
      const auto found = pairs_.find(top.pair);
      if (found == pairs_.end() || found->second.count <= 0) continue;
      if (found->second.count == top.count) return top;
      queue_.push({found->second.count, top.pair});
    }
    return {0, 0};
  }

  void merge(Pair pair, Symbol made) {
    const auto left = static_cast<Symbol>(pair >> 32), right = static_cast<Symbol>(pair);
    const std::vector<std::uint32_t> where = std::move(pairs_[pair].words);
    pairs_.erase(pair);
    std::vector<Pair> grown;
    for (const std::uint32_t w : where) {
      Word& word = words_[w];
      std::vector<Symbol> out;
      out.reserve(word.symbols.size());
      for (std::size_t i = 0; i < word.symbols.size(); ++i) {
        if (i + 1 < word.symbols.size() && word.symbols[i] == left && word.symbols[i + 1] == right) {
          out.push_back(made);
          ++i;
        } else {
          out.push_back(word.symbols[i]);
        }
      }
      if (out.size() == word.symbols.size()) continue;  // listed, but an earlier merge took it
      for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
        const auto found = pairs_.find(pair_of(word.symbols[i], word.symbols[i + 1]));
        if (found != pairs_.end()) found->second.count -= word.count;
      }
      word.symbols = std::move(out);
      for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
        const Pair p = pair_of(word.symbols[i], word.symbols[i + 1]);
        count(p, word.count, w);
        if (word.symbols[i] == made || word.symbols[i + 1] == made) grown.push_back(p);
      }
    }
    std::sort(grown.begin(), grown.end());
    grown.erase(std::unique(grown.begin(), grown.end()), grown.end());
    for (const Pair p : grown) queue_.push({pairs_[p].count, p});
  }

 private:
  struct Info {
    std::int64_t count = 0;
    std::vector<std::uint32_t> words;  // that hold or held the pair
  };

  void count(Pair pair, std::int64_t times, std::uint32_t word) {
    Info& info = pairs_[pair];
    info.count += times;
    if (info.words.empty() || info.words.back() != word) info.words.push_back(word);
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, Info> pairs_;
  std::priority_queue<Candidate> queue_;
};

}  // namespace

Result<BpeVocabulary> learn_bpe(std::span<const std::string_view> documents, std::size_t merges) {
  TROUPE_TRY(const PreTokenizer* pre, find_pre_tokenizer("gpt-2"));
  const Alphabet alphabet;
  std::unordered_map<std::string_view, std::int64_t> counts;
  for (const std::string_view document : documents)
    for_each_word(*pre, document, [&](std::string_view word) { ++counts[word]; });
  std::vector<Word> words;
  words.reserve(counts.size());
  for (const auto& [text, count] : counts) {
    Word word;
    word.count = count;
    for (const char c : text) word.symbols.push_back(alphabet.token_of_byte[static_cast<unsigned char>(c)]);
    words.push_back(std::move(word));
  }

  BpeVocabulary out;
  out.tokens = alphabet.spellings;
  Learner learner(std::move(words));
  while (out.merges.size() < merges) {
    const Candidate best = learner.best();
    if (best.count < 2) {
      return Error{Errc::bad_argument,
                   "the text has only " + std::to_string(out.merges.size()) +
                       " pairs to merge that occur twice; ask for a vocabulary of at most " +
                       std::to_string(out.tokens.size() + 1) + " tokens"};
    }
    const std::string& left = out.tokens[best.pair >> 32];
    const std::string& right = out.tokens[best.pair & 0xFFFFFFFF];
    out.merges.push_back(left + " " + right);
    const auto made = static_cast<Symbol>(out.tokens.size());
    out.tokens.push_back(left + right);
    learner.merge(best.pair, made);
  }
  return out;
}

}  // namespace troupe::train
