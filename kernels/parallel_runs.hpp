#pragma once
// parallel_for where neighbouring indices are best taken one after the other, as memory is read.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>

#include "kernels/thread_pool.hpp"

namespace troupe {

/// Calls body(index) once for every index in [0, count) and returns when all calls have returned. Every
/// thread begins with a run of neighbours of its own and, when that is done, helps with those of others, so
/// a slow core takes fewer. Otherwise as ThreadPool::parallel_for().
template <class Body>
void parallel_runs(ThreadPool& pool, std::size_t count, const Body& body) {
  struct alignas(64) Run {
    std::atomic<std::size_t> next{0};
    std::size_t end = 0;
  };
  std::array<Run, 64> runs;  // more threads than that share them
  const std::size_t threads = std::min<std::size_t>(pool.threads(), count);
  const std::size_t used = std::min(threads, runs.size());
  for (std::size_t i = 0; i < used; ++i) {
    runs[i].next.store(count * i / used, std::memory_order_relaxed);
    runs[i].end = count * (i + 1) / used;
  }
  pool.parallel_for(threads, [&](std::size_t first, unsigned) {
    for (std::size_t i = 0; i < used; ++i) {
      Run& run = runs[(first + i) % used];
      for (;;) {
        const std::size_t index = run.next.fetch_add(1, std::memory_order_relaxed);
        if (index >= run.end) break;
        body(index);
      }
    }
  });
}

}  // namespace troupe
