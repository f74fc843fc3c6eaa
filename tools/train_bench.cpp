#include "tools/train_bench.hpp"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/random.hpp"
#include "kernels/ceilings.hpp"
#include "kernels/targets.hpp"
#include "tools/open_model.hpp"
#include "tools/signals.hpp"
#include "tools/subcommand.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"
#include "train/network.hpp"
#include "train/optimizer.hpp"

namespace troupe::tools {

int bench_training(const train::TrainOptions& options, ThreadPool& pool) {
  train::ModelShape shape = options.shape;
  // Text of that vocabulary is not needed to measure; 1024 stands in for the alphabet that no text gave.
  shape.vocab = options.vocabulary.characters ? 1024 : options.vocabulary.tokens;
  if (const Status status = train::check_shape(shape); !status) return report(status.error());
  train::Network network(shape, options.batch_windows, pool);
  train::Optimizer optimizer(network.layout(), options.adam, pool);
  AlignedBuffer<float> parameters(network.layout().count), gradients(network.layout().count);
  train::initialize(network.layout(), options.seed, parameters.data());
  const std::size_t rows = options.batch_windows * shape.context;
  std::vector<Token> tokens(rows + 1);
  for (std::size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<Token>(uniform_at(options.seed, i) * static_cast<double>(shape.vocab));
  const train::WindowBatch batch{std::span(tokens).first(rows), std::span(tokens).last(rows),
                                 options.batch_windows, shape.context};

  const double peak = 2 * measure_f32_gmac_s(pool);
  if (stop_requested()) return stop_exit_status();
  constexpr int steps = 8;
  double best = 0, seconds = 0;
  for (int step = 0; step < steps + 1; ++step) {
    const auto begin = std::chrono::steady_clock::now();
    std::fill_n(gradients.data(), gradients.size(), 0.0f);
    network.backward(parameters.data(), batch, 1, {static_cast<float>(options.dropout), options.seed, 0},
                     gradients.data());
    optimizer.update(parameters.data(), gradients.data(), static_cast<std::uint64_t>(step),
                     options.schedule.rate);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    if (stop_requested()) return stop_exit_status();
    if (step == 0) continue;  // touches the memory for the first time
    seconds += taken.count();
    best = std::max(best, static_cast<double>(rows) / taken.count());
  }
  const double mean = static_cast<double>(rows) * steps / seconds;
  const double operations = train::training_operations_per_token(shape);
  Output output;
  output.raw("kernels " + active_kernel_target() + ", " + std::to_string(pool.threads()) + " threads, " +
             short_count(static_cast<double>(network.layout().count)) + " parameters, " +
             std::to_string(options.batch_windows) + " windows of " + std::to_string(shape.context) +
             " tokens\n" + "training: " + fixed_decimals(mean, 0) + " tokens/s (best step " +
             fixed_decimals(best, 0) + ")\n" + "arithmetic: " + fixed_decimals(mean * operations * 1e-9, 1) +
             " Gflop/s, " + fixed_decimals(operations * 1e-6, 2) + " Mflop per token\n" +
             "f32 peak of this machine: " + fixed_decimals(peak, 1) +
             " Gflop/s; share reached: " + fixed_decimals(100 * mean * operations * 1e-9 / peak, 1) +
             " % (best step " + fixed_decimals(100 * best * operations * 1e-9 / peak, 1) + " %)\n");
  return finish_output(output, exit_ok);
}

}  // namespace troupe::tools
