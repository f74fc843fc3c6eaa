#pragma once

#include <cstddef>

namespace troupe::test {

/// Watches this executable's operator new, from construction on. Counts every thread; tests have one.
class AllocationMeter {
 public:
  AllocationMeter();
  /// The most bytes that were allocated at one time, beyond what was when the meter was made.
  std::size_t peak_bytes() const;

 private:
  std::size_t live_before_;
};

}  // namespace troupe::test
