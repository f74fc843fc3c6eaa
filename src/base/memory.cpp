#include "base/memory.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace troupe {
namespace {

std::optional<std::uint64_t> number_in(const char* path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;  // no such file, or "max"
}

}  // namespace

std::uint64_t usable_memory_bytes() noexcept {
  std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max();
  try {
    std::ifstream meminfo("/proc/meminfo");
    for (std::string line; std::getline(meminfo, line);) {
      if (line.rfind("MemAvailable:", 0) == 0) bytes = std::stoull(line.substr(13)) * 1024;
    }
    // In a container the process sees its own cgroup at the root of the hierarchy; v2 first, then v1.
    const struct {
      const char* limit;
      const char* used;
    } groups[] = {
        {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"}};
    for (const auto& group : groups) {
      const auto limit = number_in(group.limit);
      const auto used = number_in(group.used);
      if (limit && used) bytes = std::min(bytes, *limit > *used ? *limit - *used : 0);
    }
  } catch (...) {
    // A malformed file tells nothing; the limits that were read stand.
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    bytes = std::min<std::uint64_t>(bytes, limit.rlim_cur);
  }
  return bytes;
}

}  // namespace troupe
