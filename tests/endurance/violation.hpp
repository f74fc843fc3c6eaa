#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace troupe::test {

/// Says what is wrong and ends the process with status 1: actors that broke a promise cannot be trusted to
/// end in good order.
[[noreturn]] inline void violation(const std::string& what) {
  std::fflush(stdout);
  std::fprintf(stderr, "violation: %s\n", what.c_str());
  std::_Exit(1);
}

}  // namespace troupe::test
