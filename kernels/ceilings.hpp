#pragma once
// What this machine can do at most, measured: the yardsticks beside which a benchmark's numbers mean
// something. Each call takes some tenths of a second, and uses every thread of the pool.

#include "kernels/thread_pool.hpp"

namespace troupe {

/// Bytes read from memory in a row, 10⁹ per second: a GiB (less where memory is short) that no cache holds,
/// the best of several rounds. Throws std::bad_alloc.
double measure_read_gb_s(ThreadPool& pool);

/// Multiply-adds of bytes, 10⁹ per second, with the instructions that the matrix products of quantized
/// weights use, out of registers and the nearest cache; the best of several rounds.
double measure_int8_gmac_s(ThreadPool& pool);

/// Multiply-adds of floats, 10⁹ per second: independent chains in registers, the best of several rounds.
double measure_f32_gmac_s(ThreadPool& pool);

}  // namespace troupe
