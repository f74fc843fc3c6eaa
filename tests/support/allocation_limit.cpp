#include "support/allocation_limit.hpp"

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
std::atomic<std::size_t> bytes_max{no_limit};

}  // namespace

void* operator new(std::size_t size) {
  void* const block = size <= bytes_max ? std::malloc(size) : nullptr;
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}

namespace troupe::test {

AllocationLimit::AllocationLimit(std::size_t bytes) {
  bytes_max = bytes;
}

AllocationLimit::~AllocationLimit() {
  bytes_max = no_limit;
}

}  // namespace troupe::test
