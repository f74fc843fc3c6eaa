#pragma once
// Which instruction set the kernels run with: for reports, and for tests that walk through all of them.

#include <string>
#include <vector>

namespace troupe {

/// Names of the instruction sets that the kernels are compiled for and this CPU has, best first
/// ("AVX3_DL+AMX", "AVX3_DL", "AVX2", ...).
std::vector<std::string> kernel_targets();

/// The name of the one that a kernel called now runs with; asked of the dispatched code itself.
std::string active_kernel_target();

/// Makes kernels run with `name`, one of kernel_targets(), or with the best again if it is empty. Aborts on
/// an unknown name. For tests and measurements; not while a kernel runs.
void force_kernel_target(const std::string& name);

}  // namespace troupe
