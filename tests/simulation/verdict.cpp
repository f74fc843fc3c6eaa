#include "simulation/verdict.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace troupe::test {
namespace {

// Static, because the handler of a crash may not allocate.
char replay[512];

void say_replay() {
  std::size_t length = 0;
  while (replay[length] != 0) ++length;
  if (::write(STDERR_FILENO, replay, length) < 0) std::_Exit(1);
}

extern "C" void crashed(int signal) {
  say_replay();
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void begin_seed(const char* program, std::uint64_t seed) {
  std::snprintf(replay, sizeof replay, "seed %llu failed; replay it with: %s --seeds %llu --trace\n",
                static_cast<unsigned long long>(seed), program, static_cast<unsigned long long>(seed));
  std::signal(SIGABRT, crashed);
  std::signal(SIGSEGV, crashed);
}

void violation(const std::string& what) {
  std::fflush(stdout);
  std::fprintf(stderr, "violation: %s\n", what.c_str());
  say_replay();
  std::_Exit(1);
}

}  // namespace troupe::test
