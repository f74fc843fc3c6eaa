#pragma once

#include <cstddef>

namespace troupe::test {

/// While it lives, this executable's operator new has at most so many bytes to give at once. One at a time.
class AllocationLimit {
 public:
  explicit AllocationLimit(std::size_t bytes);
  ~AllocationLimit();
  AllocationLimit(const AllocationLimit&) = delete;
  AllocationLimit& operator=(const AllocationLimit&) = delete;
};

}  // namespace troupe::test
