// How fast matmul is beside what the machine can do; run by hand:
//   bench_matmul [rows cols [target [type [threads]]]]
// Prints, per weight type, threads and batch, GB/s of packed weights that are read or billions of
// multiply-adds per second, whichever is nearer to its ceiling, and how near. The weights rotate through
// several matrices, so that they come from memory and not from a cache.

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

constexpr std::size_t batches[] = {1, 2, 4, 8, 16, 64, 256};

struct Ceilings {
  double read_gb_s, int8_gmac_s, f32_gmac_s;
};

/// Median seconds of runs that take 0.15 s in all.
template <class Run>
double median(Run run) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  run();
  for (double total = 0; total < 0.15; total += seconds.back()) {
    const auto start = Clock::now();
    run();
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

bool is_float(TensorType type) {
  return tensor_type_info(type).block_elements == 1;
}

void measure(TensorType type, std::size_t rows, std::size_t cols, const Ceilings& ceilings,
             ThreadPool& pool) {
  Samples samples(1);
  const std::vector<float> x = samples.values(batches[std::size(batches) - 1] * cols);
  const auto file = is_float(type) ? encode(type, samples.values(rows * cols, 0.05f), cols)
                                   : random_blocks(type, rows * cols, 0.01f, samples);
  // Beyond what the nearer caches hold.
  const std::size_t copies = std::max<std::size_t>(2, (std::size_t{96} << 20) / file.size());
  std::vector<PackedMatrix> weights;
  for (std::size_t i = 0; i < copies; ++i)
    weights.push_back(PackedMatrix::pack(type, rows, cols, file, pool));
  std::vector<float> y(batches[std::size(batches) - 1] * rows);
  std::printf("%-6s", std::string(tensor_type_info(type).name).c_str());
  for (const std::size_t batch : batches) {
    std::size_t next = 0;
    Activations activations;
    const double seconds = median([&] {
      activations.assign(x.data(), batch, cols);
      matmul(weights[next++ % copies], activations, y.data(), rows, pool);
    });
    const double gb_s = static_cast<double>(weights[0].bytes()) / seconds * 1e-9;
    const double gmac_s = static_cast<double>(rows * cols * batch) / seconds * 1e-9;
    const double read = gb_s / ceilings.read_gb_s;
    const double arithmetic = gmac_s / (is_float(type) ? ceilings.f32_gmac_s : ceilings.int8_gmac_s);
    if (read > arithmetic)
      std::printf("  %6.1f GB/s %3.0f%%", gb_s, 100 * read);
    else
      std::printf("  %6.0f GMAC %3.0f%%", gmac_s, 100 * arithmetic);
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t rows = argc > 2 ? std::strtoul(argv[1], nullptr, 10) : 2048;
  const std::size_t cols = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 2048;
  if (argc > 3) force_kernel_target(argv[3]);
  const std::string only = argc > 4 ? argv[4] : "";
  const unsigned only_threads = argc > 5 ? static_cast<unsigned>(std::strtoul(argv[5], nullptr, 10)) : 0;
  if (rows == 0 || cols == 0 || cols % 256 != 0) {
    std::fprintf(stderr, "rows and cols must be positive, cols a multiple of 256\n");
    return 2;
  }
  std::printf("%zu x %zu, kernels for %s\n", rows, cols, active_kernel_target().c_str());
  for (const unsigned threads : {1u, 2u}) {
    if (only_threads != 0 && only_threads != threads) continue;
    ThreadPool pool(threads);
    const Ceilings ceilings{measure_read_gb_s(pool), measure_int8_gmac_s(pool), measure_f32_gmac_s(pool)};
    std::printf("\n%u thread%s: memory read at %.1f GB/s, int8 at %.0f GMAC/s, f32 at %.0f GMAC/s\nbatch ",
                threads, threads == 1 ? "" : "s", ceilings.read_gb_s, ceilings.int8_gmac_s,
                ceilings.f32_gmac_s);
    for (const std::size_t batch : batches) std::printf("  %11zu     ", batch);
    std::printf("\n");
    for (const TensorType type : all_types)
      if (only.empty() || only == tensor_type_info(type).name) measure(type, rows, cols, ceilings, pool);
  }
  return 0;
}
