#pragma once
// The modes in which a thread's CPU computes with floats.

#include <cstdint>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace troupe {

/// While it lives, this thread's floats are rounded to nearest, subnormals are numbers like others, and
/// nothing traps; then its own modes are back. They may be any: a thread has those of the one that started
/// it, and a library that was linked with -ffast-math may have set them.
class DefaultArithmetic {
 public:
  DefaultArithmetic(const DefaultArithmetic&) = delete;
  DefaultArithmetic& operator=(const DefaultArithmetic&) = delete;
#ifdef __SSE__
  DefaultArithmetic() noexcept {
    if (differs()) _mm_setcsr(defaults);
  }
  ~DefaultArithmetic() {
    if (differs()) _mm_setcsr(before_);
  }

 private:
  static constexpr unsigned defaults = 0x1F80, flags = 0x3F;  // of MXCSR; flags tell of exceptions that were
  bool differs() const noexcept {
    return (before_ & ~flags) != defaults;
  }
  const unsigned before_ = _mm_getcsr();
#elif defined(__aarch64__)
  DefaultArithmetic() noexcept : before_(get()) {
    if (before_ != 0) set(0);
  }
  ~DefaultArithmetic() {
    if (before_ != 0) set(before_);
  }

 private:
  static std::uint64_t get() noexcept {
    std::uint64_t modes;
    asm volatile("mrs %0, fpcr" : "=r"(modes));
    return modes;
  }
  static void set(std::uint64_t modes) noexcept {
    asm volatile("msr fpcr, %0" : : "r"(modes) : "memory");
  }
  const std::uint64_t before_;
#else
  DefaultArithmetic() noexcept {}
  ~DefaultArithmetic() {}
#endif
};

}  // namespace troupe
