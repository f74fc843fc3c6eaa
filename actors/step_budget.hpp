#pragma once
// How many rows of prompts a step may take beside running streams. Pure: no actors, no clock.

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>

namespace troupe {

/// Learns from the steps that have run how long a step of n rows takes, and keeps the pause that a prompt
/// puts between two tokens of a running stream within bounds: at most `stretch` times the step without it, or
/// `free_time` where that is longer, since nobody notices less. One owner; not thread-safe.
class StepBudget {
 public:
  using Duration = std::chrono::duration<double>;

  /// rows_max: of any step. stretch >= 1. longest: no step is to take longer if fewer rows can help that,
  /// also where no stream runs; until it is over nobody's request can end.
  StepBudget(std::size_t rows_max, double stretch, Duration longest = Duration(10))
      : rows_max_(rows_max), stretch_(stretch), longest_(longest) {}

  /// prompt_rows: how many of the rows were of prompts; the others were decodes, or there were none.
  void observe(std::size_t rows, Duration time, std::size_t prompt_rows = 0);

  /// What a step of `rows` is expected to take: between what was measured for fewer and for more rows;
  /// nullopt before anything was.
  std::optional<Duration> expect(std::size_t rows) const;

  /// The most rows, within a factor of two, whose step was measured.
  double rows_seen() const;

  /// The most rows for a step with `decodes` decodes in it, themselves included. At least decodes + rows_min,
  /// so that prompts always move on, and at most rows_max, or first_rows before anything was measured; but
  /// after mixed_max steps that were stretched, none of a prompt, to see again what the decodes take alone:
  /// their contexts grow.
  std::size_t rows_for(std::size_t decodes) const;

  std::size_t rows_max() const noexcept { return rows_max_; }

  static constexpr std::size_t rows_min = 1, first_rows = 16, mixed_max = 16;
  static constexpr Duration free_time{0.005};

 private:
  /// Steps of 2^(i-1) < rows <= 2^i: running means of their rows and times.
  struct Bucket {
    double rows = 0;
    double seconds = 0;
    bool fresh = true;  // of one step only
  };
  static std::size_t bucket_of(std::size_t rows);
  std::size_t rows_within(Duration allowed, std::size_t least) const;
  void observe_prompt(std::size_t decodes, std::size_t prompt_rows, Duration time);

  std::size_t rows_max_;
  double stretch_;
  Duration longest_;
  std::array<std::optional<Bucket>, 33> buckets_;
  std::optional<Duration> prompt_row_;  // what a prompt's row costs beside decodes, lately
  std::size_t mixed_ = 0;               // steps since decodes were alone
};

}  // namespace troupe
