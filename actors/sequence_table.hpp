#pragma once
// The sequences that are open at a batcher: what their generators have asked for, how far that is computed,
// and who is still to answer. Pure: sends nothing, the time is passed in.

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "actors/messages.hpp"
#include "actors/straggler_wait.hpp"

namespace troupe {

struct TableSequence {
  GeneratorActor generator;
  std::vector<Token> tokens;  ///< asked for
  std::size_t taken = 0;      ///< of `tokens`, computed already
  std::vector<Token> drafts;  ///< asked for; once computed, those that were
  double draft_rate = 0;
  bool drafted = false;  ///< the sequence holds `drafts`, and nobody has said yet which are right
  std::uint64_t arrival = 0;
  std::size_t top_count = 0;
  std::uint32_t cached_tokens = 0;  ///< of its first ask
  bool alone = false;
  bool open_failed = false;
  bool started = false;    ///< some of it was computed
  bool answering = false;  ///< its generator holds logits, or was just started: it will ask or park
  TimePoint told_at;       ///< since when
  StepOutlook::Duration usual_answer{};

  std::size_t waiting() const { return tokens.size() - taken; }
};

/// One owner; not thread-safe. References stay valid until the sequence is erased.
class SequenceTable {
 public:
  using Sequences = std::unordered_map<SequenceId, TableSequence>;

  TableSequence& open(SequenceId id) { return sequences_[id]; }
  TableSequence* find(SequenceId id);
  TableSequence& at(SequenceId id) { return sequences_.at(id); }
  const TableSequence& at(SequenceId id) const { return sequences_.at(id); }
  void erase(SequenceId id) { sequences_.erase(id); }
  Sequences& all() noexcept { return sequences_; }
  std::size_t size() const noexcept { return sequences_.size(); }

  /// Its generator was told something that it answers with an ask or by parking.
  void expect_answer(TableSequence& sequence, TimePoint now);
  /// It has, or never will.
  void answered(TableSequence& sequence, TimePoint now);
  std::size_t answering() const noexcept { return answering_; }

  /// Whether anything that was asked for waits.
  bool has_work() const;
  std::size_t rows_waiting() const;
  /// Who is ready for a step and who is late; what steps take is left to be filled in.
  StepOutlook outlook() const;

 private:
  Sequences sequences_;
  std::size_t answering_ = 0;  // of them
};

}  // namespace troupe
