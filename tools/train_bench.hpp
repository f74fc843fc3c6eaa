#pragma once
// troupe train --bench: how fast a model of the given shape trains here.

#include "kernels/thread_pool.hpp"
#include "train/trainer.hpp"

namespace troupe::tools {

/// Runs some steps on made-up tokens, prints tokens/s, the rate of arithmetic and its share of the machine's
/// measured f32 peak to standard output. Ends after the step in which a signal asks for it,
/// and prints nothing then. Returns the exit status.
int bench_training(const train::TrainOptions& options, ThreadPool& pool);

}  // namespace troupe::tools
