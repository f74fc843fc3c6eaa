#include "kernels/tile_registers.hpp"

#include <atomic>

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace troupe {
namespace {

bool possible() noexcept {
#if defined(__x86_64__) && defined(__linux__)
  // Intel's manual, volume 1, chapter 18: AMX-TILE and AMX-INT8 are bits 24 and 25 of EDX in leaf 7; the
  // system saves the state if bits 17 and 18 of XCR0 are set, which may be read if OSXSAVE is.
  constexpr unsigned tile_and_int8 = 3U << 24, osxsave = 1U << 27, saved = 3U << 17;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & osxsave) == 0) return false;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & tile_and_int8) != tile_and_int8) return false;
  unsigned low = 0, high = 0;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & saved) != saved) return false;
  // The state is 8 KiB, which a process has to ask for (Linux, Documentation/arch/x86/xstate.rst). Threads
  // inherit it.
  constexpr long request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

std::atomic<bool>& in_use() noexcept {
  static std::atomic<bool> on{possible()};
  return on;
}

}  // namespace

bool tile_registers() noexcept {
  return in_use().load(std::memory_order_relaxed);
}

void set_tile_registers(bool on) noexcept {
  static const bool may = tile_registers();  // before anybody turned it off
  in_use().store(on && may, std::memory_order_relaxed);
}

}  // namespace troupe
