#include "base/memory.hpp"

#include <sys/resource.h>
#include <unistd.h>

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

/// Bytes of a cgroup that cache files, which the kernel gives up when memory is wanted: they count as used.
std::uint64_t file_cache(const char* statistics) {
  std::ifstream file(statistics);
  std::uint64_t bytes = 0;
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "inactive_file" || name == "active_file") bytes += value;
  }
  return bytes;
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
      const char* statistics;
    } groups[] = {
        {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
         "/sys/fs/cgroup/memory/memory.stat"}};
    for (const auto& group : groups) {
      const auto limit = number_in(group.limit);
      const auto used = number_in(group.used);
      if (!limit || !used) continue;
      const std::uint64_t kept = *used - std::min(*used, file_cache(group.statistics));
      bytes = std::min(bytes, *limit > kept ? *limit - kept : 0);
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

std::uint64_t resident_memory_bytes() noexcept {
  try {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0, resident = 0;
    if (statm >> total >> resident) return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  } catch (...) {
    // Nothing is known then.
  }
  return 0;
}

}  // namespace troupe
