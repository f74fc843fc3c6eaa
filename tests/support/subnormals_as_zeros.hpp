#pragma once

#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace troupe::test {

/// While it lives, this thread, and those that it starts, read subnormal floats as zeros and write them so:
/// what a library that was linked with -ffast-math leaves a program with. Nothing on other CPUs than x86.
class SubnormalsAsZeros {
 public:
  SubnormalsAsZeros(const SubnormalsAsZeros&) = delete;
  SubnormalsAsZeros& operator=(const SubnormalsAsZeros&) = delete;
#ifdef __SSE__
  SubnormalsAsZeros() {
    _mm_setcsr(before_ | bits);
  }
  ~SubnormalsAsZeros() {
    _mm_setcsr(before_);
  }
  static bool in_force() {
    return (_mm_getcsr() & bits) == bits;
  }

 private:
  static constexpr unsigned bits = 0x8040;
  const unsigned before_ = _mm_getcsr();
#else
  SubnormalsAsZeros() {}
  ~SubnormalsAsZeros() {}
  static bool in_force() {
    return true;
  }
#endif
};

}  // namespace troupe::test
