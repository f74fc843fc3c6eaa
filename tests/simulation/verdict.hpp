#pragma once
// How a simulation fails: at once, with the seed and the command that replays it.

#include <cstdint>
#include <string>

namespace troupe::test {

/// From now on failures, crashes too, are those of this seed.
void begin_seed(const char* program, std::uint64_t seed);

/// Says what is wrong and ends the process with status 1: actors that broke a promise cannot be trusted to
/// end in good order.
[[noreturn]] void violation(const std::string& what);

}  // namespace troupe::test
