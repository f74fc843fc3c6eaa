#include "tests/formats/allocation_meter.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> live{0};
std::atomic<std::size_t> peak{0};

// The size stands in front of each block; 16 bytes keep the block aligned.
constexpr std::size_t prefix_bytes = 16;

void* allocate(std::size_t size) {
  auto* block = static_cast<std::size_t*>(std::malloc(size + prefix_bytes));
  if (block == nullptr) std::abort();
  *block = size;
  const std::size_t now = live.fetch_add(size) + size;
  std::size_t before = peak.load();
  while (now > before && !peak.compare_exchange_weak(before, now)) {
  }
  return reinterpret_cast<char*>(block) + prefix_bytes;
}

void release(void* data) {
  if (data == nullptr) return;
  void* block = static_cast<char*>(data) - prefix_bytes;
  live.fetch_sub(*static_cast<std::size_t*>(block));
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return allocate(size);
}
void operator delete(void* data) noexcept {
  release(data);
}
void operator delete[](void* data) noexcept {
  release(data);
}
void operator delete(void* data, std::size_t) noexcept {
  release(data);
}
void operator delete[](void* data, std::size_t) noexcept {
  release(data);
}
void operator delete(void* data, const std::nothrow_t&) noexcept {
  release(data);
}
void operator delete[](void* data, const std::nothrow_t&) noexcept {
  release(data);
}

namespace troupe::test {

AllocationMeter::AllocationMeter() : live_before_(live.load()) {
  peak.store(live_before_);
}

std::size_t AllocationMeter::peak_bytes() const {
  return peak.load() - live_before_;
}

}  // namespace troupe::test
