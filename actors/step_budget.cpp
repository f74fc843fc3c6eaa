#include "actors/step_budget.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace troupe {
namespace {

// New steps count for an eighth: contexts grow, and other work on the machine comes and goes.
constexpr double new_share = 0.125;

// What took so many times what was expected is no measure of the next: it counts as if it took this.
constexpr double accident = 2;

}  // namespace

std::size_t StepBudget::bucket_of(std::size_t rows) {
  return std::min<std::size_t>(std::bit_width(std::max<std::size_t>(rows, 1) - 1), 32);
}

void StepBudget::observe(std::size_t rows, Duration time, std::size_t prompt_rows) {
  if (prompt_rows == 0) mixed_ = 0;
  if (prompt_rows != 0 && prompt_rows < rows) observe_prompt(rows - prompt_rows, prompt_rows, time);
  std::optional<Bucket>& bucket = buckets_[bucket_of(rows)];
  if (!bucket) {
    bucket = Bucket{static_cast<double>(rows), time.count(), true};
    return;
  }
  // The first of a size may have paid for what is done once: memory, threads that slept.
  const bool was_slow = std::exchange(bucket->fresh, false) && time.count() < bucket->seconds;
  const double share = was_slow ? 1 : new_share;
  bucket->rows += share * (static_cast<double>(rows) - bucket->rows);
  bucket->seconds += share * (time.count() - bucket->seconds);
}

/// A cost per row that follows what is measured, up and down: of a number of rows whose steps once were found
/// too slow, by an accident or because contexts were longer, nothing would be measured again.
void StepBudget::observe_prompt(std::size_t decodes, std::size_t prompt_rows, Duration time) {
  ++mixed_;
  const Duration alone = expect(decodes).value_or(Duration(0));
  // Not nothing, though the clock may say so.
  const Duration cost = std::max(time - alone, time / 8) / static_cast<double>(prompt_rows);
  if (!prompt_row_) prompt_row_ = cost;
  *prompt_row_ += new_share * (std::min(cost, accident * *prompt_row_) - *prompt_row_);
}

std::optional<StepBudget::Duration> StepBudget::expect(std::size_t rows) const {
  const auto wanted = static_cast<double>(rows);
  const Bucket* below = nullptr;
  const Bucket* above = nullptr;
  for (const auto& bucket : buckets_) {
    if (!bucket) continue;
    if (bucket->rows <= wanted) below = &*bucket;
    if (bucket->rows >= wanted && above == nullptr) above = &*bucket;
  }
  if (below == nullptr && above == nullptr) return std::nullopt;
  // Fewer rows than were ever seen take as long as those; of more, each costs what each did.
  if (below == nullptr) return Duration(above->seconds);
  if (above == nullptr) return Duration(below->seconds * wanted / below->rows);
  if (above->rows == below->rows) return Duration(below->seconds);
  const double part = (wanted - below->rows) / (above->rows - below->rows);
  return Duration(below->seconds + part * (above->seconds - below->seconds));
}

double StepBudget::rows_seen() const {
  double most = 0;
  for (const auto& bucket : buckets_) {
    if (bucket) most = bucket->rows;
  }
  return most;
}

std::size_t StepBudget::rows_for(std::size_t decodes) const {
  const std::size_t least = std::min(rows_max_, decodes + rows_min);
  const auto alone = expect(decodes);
  if (!alone) return std::min(rows_max_, std::max(least, first_rows));
  if (decodes == 0) return rows_within(longest_, least);
  const Duration allowed = std::min(longest_, std::max(free_time, *alone * stretch_));
  if (prompt_row_ && prompt_row_->count() > 0) {
    if (mixed_ >= mixed_max) return decodes;
    const double fit = std::max(0.0, (allowed - *alone) / *prompt_row_);
    const auto room = static_cast<double>(rows_max_ - std::min(rows_max_, decodes));
    return std::max(least, decodes + static_cast<std::size_t>(std::min(fit, room)));
  }
  return rows_within(allowed, least);
}

/// At least `least`. More rows take longer, but for noise in what was measured: any boundary that halving
/// finds will do.
std::size_t StepBudget::rows_within(Duration allowed, std::size_t least) const {
  std::size_t fits = least, beyond = rows_max_ + 1;
  while (beyond - fits > 1) {
    const std::size_t middle = fits + (beyond - fits) / 2;
    (*expect(middle) <= allowed ? fits : beyond) = middle;
  }
  return fits;
}

}  // namespace troupe
