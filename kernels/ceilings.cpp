#include "kernels/ceilings.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/parallel_runs.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ceilings.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/quads-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// `rounds` rounds of multiply-adds on independent registers; values[0..2) go in, something of the result
/// comes out in values[2]. Returns the multiply-adds.
double f32_rounds(std::size_t rounds, float* values) {
  const FloatTag d;
  constexpr std::size_t chains = 12;
  FloatVector sums[chains];
  const FloatVector factor = hn::Set(d, values[0]), term = hn::Set(d, values[1]);
  unroll<chains>([&](auto i) TROUPE_LAMBDA { sums[i] = hn::Set(d, static_cast<float>(i)); });
  for (std::size_t r = 0; r < rounds; ++r)
    unroll<chains>([&](auto i) TROUPE_LAMBDA { sums[i] = hn::MulAdd(sums[i], factor, term); });
  FloatVector all = sums[0];
  unroll<chains>([&](auto i) TROUPE_LAMBDA { all = hn::Add(all, sums[i]); });
  HWY_ALIGN float buffer[lanes];
  hn::Store(all, d, buffer);
  values[2] = buffer[0];
  return static_cast<double>(rounds) * chains * lanes;
}

/// The same with bytes: a block of 32 columns of weights against 16 rows of activations, again and again.
double int8_rounds(std::size_t rounds, float* values) {
  constexpr std::size_t rows = HWY_TARGET == HWY_SCALAR ? 1 : 16;
  alignas(64) std::int8_t x[rows * 32];
  std::fill_n(x, sizeof x, static_cast<std::int8_t>(values[1] * 64));
  Quads weights;
  unroll<8>([&](auto j)
                TROUPE_LAMBDA { weights.quad[j] = set_quad(static_cast<std::uint8_t>(values[0] * 16)); });
  const UnsignedDot<15, 0> dot(weights);
  IntVector all = hn::Zero(IntTag());
  constexpr std::size_t step = rows < dot_rows_step ? rows : dot_rows_step;
  for (std::size_t r = 0; r < rounds; ++r) {
    unroll<rows / step>([&](auto s) TROUPE_LAMBDA {
      IntVector dots[step];
      unroll<step>([&](auto t) TROUPE_LAMBDA { dots[t] = hn::Zero(IntTag()); });
      dot.template add<step, 0, 8>(x + s * step * 32, dots);
      unroll<step>([&](auto t) TROUPE_LAMBDA { all = hn::Xor(all, dots[t]); });
    });
    asm volatile("" : : "r"(x) : "memory");  // or the rounds would be seen to be equal
  }
  HWY_ALIGN std::int32_t buffer[lanes];
  hn::Store(all, IntTag(), buffer);
  values[2] = static_cast<float>(buffer[0]);
  return static_cast<double>(rounds) * rows * 32 * lanes;
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(f32_rounds);
HWY_EXPORT(int8_rounds);

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// 10⁹ operations per second of all threads together.
double best_rate(ThreadPool& pool, double (*kernel)(std::size_t rounds, float* values), std::size_t rounds) {
  const unsigned threads = pool.threads();
  struct alignas(64) Thread {
    std::array<float, 3> values{0.5F, 0.25F, 0};
    double operations = 0;
  };
  double best = 0;
  for (int repeat = 0; repeat < 8; ++repeat) {
    std::vector<Thread> work(threads);
    const auto begin = Clock::now();
    pool.parallel_for(threads, [&](std::size_t i, unsigned) {
      work[i].operations = kernel(rounds, work[i].values.data());
    });
    const double seconds = seconds_since(begin);
    double operations = 0;
    for (const Thread& thread : work) operations += thread.operations;
    best = std::max(best, operations / seconds * 1e-9);
  }
  return best;
}

}  // namespace

double measure_f32_gmac_s(ThreadPool& pool) {
  return best_rate(pool, HWY_DYNAMIC_DISPATCH(f32_rounds), 4'000'000);
}

double measure_int8_gmac_s(ThreadPool& pool) {
  return best_rate(pool, HWY_DYNAMIC_DISPATCH(int8_rounds), 400'000);
}

double measure_read_gb_s(ThreadPool& pool) {
  constexpr std::size_t chunk = 1 << 18;  // words of 32 bits
  AlignedBuffer<std::uint32_t> memory;
  std::size_t chunks = 1024;  // 1 GiB
  for (;; chunks /= 2) {
    try {
      memory.resize(chunk * chunks);
      break;
    } catch (const std::bad_alloc&) {
      if (chunks <= 64) throw;
    }
  }
  pool.parallel_for(chunks, [&](std::size_t c, unsigned) { std::fill_n(&memory[c * chunk], chunk, 1U); });
  std::vector<std::uint32_t> sums(chunks);
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const auto begin = Clock::now();
    parallel_runs(pool, chunks, [&](std::size_t c) {
      // From one end to the other, asking well ahead: several streams are in each other's way.
      constexpr std::size_t line = 16, ahead = 128 * line;
      std::uint32_t sum = 0;
      for (const std::uint32_t *from = &memory[c * chunk], *end = from + chunk; from != end; from += line) {
        __builtin_prefetch(from + ahead);
        for (std::size_t j = 0; j < line; ++j) sum += from[j];
      }
      sums[c] = sum;
    });
    best = std::max(best, static_cast<double>(chunk * chunks * 4) / seconds_since(begin) * 1e-9);
  }
  if (sums[0] != chunk) return 0;  // never: the sums must be seen to be used
  return best;
}

}  // namespace troupe
#endif
