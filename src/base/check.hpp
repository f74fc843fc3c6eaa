#pragma once
// Programmer errors abort with the place and the condition; they are never reported as an Error.

#include <cstdio>
#include <cstdlib>

namespace troupe::detail {
[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}
}  // namespace troupe::detail

/// Aborts unless `condition` holds; stays on in release builds.
#define TROUPE_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::troupe::detail::check_failed(#condition, __FILE__, __LINE__))
