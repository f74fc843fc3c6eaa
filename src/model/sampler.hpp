#pragma once
// Choosing the next token from its logits.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "model/logits.hpp"
#include "troupe/error.hpp"
#include "troupe/generation.hpp"

namespace troupe {

/// Checks that every token is one of the vocabulary; `what` begins the message: "the prompt".
Status validate_tokens(std::span<const Token> tokens, const char* what, std::size_t vocab_size);

/// Checks every field's range; the message names the field, the value and the range.
Status validate(const SamplingOptions& options, std::size_t vocab_size);

/// One request's sampling state: what it has seen. A pure function of (options, tokens seen, logits,
/// position): replaying the tokens through see_prompt() and see_answer() restores it exactly. One owner; not
/// thread-safe.
///
/// Order: logit bias → penalties → temperature → top-k → softmax → top-p → min-p → draw. At temperature 0 the
/// largest logit after bias and penalties wins, the lower id on a tie. The draw walks the tokens that are
/// left in id order until their probability passes uniform_at(seed, position).
class Sampler {
 public:
  /// `options` must be valid.
  explicit Sampler(SamplingOptions options);

  void see_prompt(std::span<const Token> tokens);  ///< counts for repeat_penalty
  void see_answer(Token token);                    ///< counts for all penalties

  /// How many of the largest logits the next sample() can do with instead of the whole row, and those behind
  /// it, too, while up to `answer_tokens` more are seen; 0: they need the whole row.
  std::size_t top_count(std::size_t answer_tokens = 0) const;

  /// The token at `position` (prompt tokens before it, plus answer tokens). NaN counts as never. Fails
  /// (fault) when no token is possible: every logit is -infinity or NaN. The same token whether or not the
  /// largest logits were listed.
  Result<Token> sample(const LogitsView& logits, std::uint64_t position);
  Result<Token> sample(std::span<const float> logits, std::uint64_t position) {
    return sample(LogitsView{logits}, position);
  }

 private:
  bool changes_logits() const;
  template <class LogitOf>
  void apply_bias_and_penalties(LogitOf logit_of) const;
  void find_changed(std::span<const float> logits);
  void take_listed(const LogitsView& logits);
  std::span<const float> adjust(std::span<const float> logits);
  double weigh(float best);
  double sum_blocks(std::span<const float> logits, float best);
  void keep_top_p(double total);
  Token draw(std::uint64_t position) const;
  Token draw_from_all(std::span<const float> logits, float best, std::uint64_t position);
  Token draw_from_likeliest(std::span<const float> logits, float best, std::uint64_t position);

  SamplingOptions options_;
  std::vector<Token> recent_;                               // the last repeat_last_n tokens, a ring
  std::size_t recent_next_ = 0;                             // where the ring is written next
  std::unordered_map<Token, std::uint32_t> recent_counts_;  // of the ring's tokens
  std::unordered_map<Token, std::uint32_t> answer_counts_;  // tokens of the answer
  std::vector<float> adjusted_;                             // scratch [vocab]
  std::vector<float> maxima_;                               // scratch [blocks of vocab]
  std::vector<float> sums_;                                 // scratch [blocks of vocab]
  std::vector<IndexedValue> changed_;                       // scratch: logits that bias and penalties change
  std::vector<IndexedValue> candidates_;                    // scratch: what is left, in id order
  std::vector<double> probabilities_;                       // scratch, of candidates_
};

}  // namespace troupe
