#pragma once
// parallel_for over the rows of a matrix.

#include <algorithm>
#include <cstddef>

#include "kernels/thread_pool.hpp"

namespace troupe {

/// Calls body(row) once for each of `rows` rows of `width` numbers and returns when all calls have returned.
/// Rows are shared out some microseconds' worth at a time, since a thread that joins costs about one; what is
/// less stays with the caller.
template <class Body>
void parallel_rows(ThreadPool& pool, std::size_t rows, std::size_t width, const Body& body) {
  constexpr std::size_t task_numbers = 8192;
  const std::size_t task_rows = std::max<std::size_t>(1, task_numbers / std::max<std::size_t>(1, width));
  pool.parallel_for((rows + task_rows - 1) / task_rows, [&](std::size_t task, unsigned) {
    for (std::size_t r = task * task_rows; r < std::min(rows, (task + 1) * task_rows); ++r) body(r);
  });
}

}  // namespace troupe
