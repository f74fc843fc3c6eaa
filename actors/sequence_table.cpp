#include "actors/sequence_table.hpp"

#include <algorithm>

namespace troupe {

TableSequence* SequenceTable::find(SequenceId id) {
  const auto found = sequences_.find(id);
  return found == sequences_.end() ? nullptr : &found->second;
}

void SequenceTable::expect_answer(TableSequence& sequence, TimePoint now) {
  ++answering_;
  sequence.answering = true;
  sequence.told_at = now;
}

void SequenceTable::answered(TableSequence& sequence, TimePoint now) {
  if (!sequence.answering) return;
  --answering_;
  sequence.answering = false;
  // New times count for a quarter: what else its generator's thread has to do changes.
  const StepOutlook::Duration time = now - sequence.told_at;
  sequence.usual_answer += 0.25 * (time - sequence.usual_answer);
}

bool SequenceTable::has_work() const {
  return std::any_of(sequences_.begin(), sequences_.end(),
                     [](const auto& entry) { return entry.second.waiting() != 0; });
}

std::size_t SequenceTable::rows_waiting() const {
  std::size_t rows = 0;
  for (const auto& [id, sequence] : sequences_) rows += sequence.waiting();
  return rows;
}

StepOutlook SequenceTable::outlook() const {
  StepOutlook outlook;
  outlook.late = answering_;
  for (const auto& [id, sequence] : sequences_) {
    outlook.ready += sequence.waiting() != 0;
    if (sequence.answering) outlook.usual_answer = std::max(outlook.usual_answer, sequence.usual_answer);
  }
  return outlook;
}

}  // namespace troupe
