// How fast matmul is beside what the machine can do; run by hand:
//   bench_matmul [rows cols [target [type]]]
// Prints, per weight type, threads and batch, GB/s of packed weights read and billions of multiply-adds per
// second. The weights rotate through several matrices, so that batch 1 reads memory and not a cache.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "kernels/ceilings.hpp"
#include "kernels/matmul.hpp"
#include "kernels/samples.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

/// Seconds of the fastest of several runs, 0.15 s in all.
template <class Run>
double fastest(Run run) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9, total = 0;
  run();
  while (total < 0.15) {
    const auto start = Clock::now();
    run();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, seconds), total += seconds;
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t rows = argc > 2 ? std::strtoul(argv[1], nullptr, 10) : 2048;
  const std::size_t cols = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 2048;
  if (argc > 3) force_kernel_target(argv[3]);
  const std::string only = argc > 4 ? argv[4] : "";
  if (rows == 0 || cols == 0 || cols % 256 != 0) {
    std::fprintf(stderr, "rows and cols must be positive, cols a multiple of 256\n");
    return 2;
  }
  std::printf("%zu x %zu, kernels for %s\n", rows, cols, active_kernel_target().c_str());
  Samples samples(1);
  const std::vector<float> x = samples.values(64 * cols);
  const std::vector<float> values = samples.values(rows * cols, 0.05f);
  std::vector<float> y(64 * rows);
  for (const unsigned threads : {1u, 2u}) {
    ThreadPool pool(threads);
    std::printf("\n%u thread%s, memory read at %.1f GB/s\n%-6s", threads, threads == 1 ? "" : "s",
                measure_read_gb_s(pool), "");
    for (const int batch : {1, 2, 4, 8, 16, 64}) std::printf("  batch %-2d GB/s GMAC/s", batch);
    std::printf("\n");
    for (const TensorType type : all_types) {
      if (!only.empty() && only != tensor_type_info(type).name) continue;
      const auto file = tensor_type_info(type).block_elements == 1
                            ? encode(type, values, cols)
                            : random_blocks(type, rows * cols, 0.01f, samples);
      // Beyond what the nearer caches hold.
      const std::size_t copies = std::max<std::size_t>(2, (std::size_t{96} << 20) / file.size());
      std::vector<PackedMatrix> weights;
      for (std::size_t i = 0; i < copies; ++i)
        weights.push_back(PackedMatrix::pack(type, rows, cols, file, pool));
      std::printf("%-6s", std::string(tensor_type_info(type).name).c_str());
      for (const std::size_t batch : {1, 2, 4, 8, 16, 64}) {
        std::size_t next = 0;
        Activations activations;
        const double seconds = fastest([&] {
          activations.assign(x.data(), batch, cols);
          matmul(weights[next++ % copies], activations, y.data(), rows, pool);
        });
        std::printf("  %14.1f %7.1f", static_cast<double>(weights[0].bytes()) / seconds / 1e9,
                    static_cast<double>(rows * cols * batch) / seconds / 1e9);
      }
      std::printf("\n");
    }
  }
  return 0;
}
