#pragma once
// A whole training run: text in, model file out.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/tensor_type.hpp"
#include "train/corpus.hpp"
#include "train/optimizer.hpp"
#include "train/schedule.hpp"
#include "train/shape.hpp"
#include "troupe/error.hpp"

namespace troupe::train {

struct TrainOptions {
  std::vector<std::filesystem::path> data;        ///< text files
  std::vector<std::filesystem::path> validation;  ///< text held out; empty: the end of each data file is
  double validation_share = 0.1;                  ///< of each data file, without `validation`; 0: none
  VocabularyChoice vocabulary;
  ModelShape shape;                   ///< its vocab is found out
  std::filesystem::path out;          ///< the model; the state lies beside it, see state_path()
  std::filesystem::path log;          ///< CSV; empty: none
  std::filesystem::path curve;        ///< SVG; empty: none
  std::string name;                   ///< general.name
  TensorType type = TensorType::f32;  ///< of the matrices in the model file
  std::size_t batch_windows = 12;     ///< windows of a forward pass
  std::size_t accumulate = 1;         ///< passes whose gradients are added up for one step
  Schedule schedule;
  AdamOptions adam;
  double dropout = 0;
  std::uint64_t seed = 1;
  std::uint64_t validate_every = 250;    ///< steps; also after the last
  std::size_t validation_windows = 128;  ///< at equal distances in the validation text
  std::uint64_t save_every = 1000;       ///< steps between states; also at every end
  bool resume = false;
};

/// Where a run keeps its state: the model's path with ".state" behind it.
std::filesystem::path state_path(const std::filesystem::path& out);

/// What a run has to tell after each step.
struct Progress {
  std::uint64_t step = 0;  ///< done
  std::uint64_t steps = 0;
  double loss = 0;                   ///< of this step, nats per token
  double smoothed = 0;               ///< over the last steps
  std::optional<double> validation;  ///< when it was measured after this step
  double validation_best = 0;        ///< infinity before the first
  double rate = 0;                   ///< learning rate
  double gradient_norm = 0;          ///< before clipping
  double tokens_per_s = 0;           ///< over the last steps, validation not counted
  double seconds_left = 0;           ///< estimate
};

/// How a run ended.
struct TrainSummary {
  std::uint64_t steps = 0;  ///< done in all
  bool stopped = false;     ///< by the caller, before the last step
  bool exported = false;    ///< whether a model file was written (it is not when stopped before it could be)
  double validation_best = 0;  ///< nats per token; infinity without validation
  double validation_best_per_byte = 0;
  std::uint64_t tokens_seen = 0;  ///< in all
  double seconds = 0;             ///< of this run
};

/// A run whose text, vocabulary and arrays are in memory. Not thread-safe; uses `pool` while run() works.
class Trainer {
 public:
  /// Reads the text, learns the vocabulary, encodes, checks all options, reads the state if `resume`.
  /// Errors: bad_argument, bad_file, io, too_large (the memory that the run needs and what there is).
  static Result<std::unique_ptr<Trainer>> create(TrainOptions options, ThreadPool& pool);
  ~Trainer();
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Trains until the last step or until `stop` (asked after each step) says so; then the state is saved in
  /// either case. The model file holds the parameters with the lowest validation loss, or without
  /// validation the last. Errors: fault when the loss or gradient is no longer finite (model and state are
  /// those of before), io.
  Result<TrainSummary> run(const std::function<void(const Progress&)>& progress,
                           const std::function<bool()>& stop);

  /// A few lines about the run, for people: text, vocabulary, model, memory.
  std::string description() const;

  const ModelShape& shape() const;
  const float* parameters() const;
  const Corpus& corpus() const;

 private:
  struct Impl;
  explicit Trainer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace troupe::train
