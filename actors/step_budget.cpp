#include "actors/step_budget.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace troupe {

std::size_t StepBudget::bucket_of(std::size_t rows) {
  return std::min<std::size_t>(std::bit_width(std::max<std::size_t>(rows, 1) - 1), 32);
}

void StepBudget::observe(std::size_t rows, Duration time) {
  std::optional<Bucket>& bucket = buckets_[bucket_of(rows)];
  if (!bucket) {
    bucket = Bucket{static_cast<double>(rows), time.count(), true};
    return;
  }
  // The first of a size may have paid for what is done once: memory, threads that slept.
  const bool was_slow = std::exchange(bucket->fresh, false) && time.count() < bucket->seconds;
  // New steps count for an eighth: contexts grow, and other work on the machine comes and goes.
  const double share = was_slow ? 1 : 0.125;
  bucket->rows += share * (static_cast<double>(rows) - bucket->rows);
  bucket->seconds += share * (time.count() - bucket->seconds);
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
  if (decodes == 0) return rows_max_;
  const std::size_t least = std::min(rows_max_, decodes + rows_min);
  const auto alone = expect(decodes);
  if (!alone) return rows_max_;
  const Duration allowed = std::max(free_time, *alone * stretch_);
  // More rows take longer, but for noise in what was measured: any boundary that halving finds will do.
  std::size_t fits = least, beyond = rows_max_ + 1;
  while (beyond - fits > 1) {
    const std::size_t middle = fits + (beyond - fits) / 2;
    (*expect(middle) <= allowed ? fits : beyond) = middle;
  }
  return fits;
}

}  // namespace troupe
