#include "base/memory.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace troupe {
namespace {

namespace fs = std::filesystem;

std::optional<std::uint64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;  // no such file, or "max"
}

/// Bytes of a cgroup that cache files, which the kernel gives up when memory is wanted: they count as used.
std::uint64_t file_cache(const fs::path& statistics) {
  std::ifstream file(statistics);
  std::uint64_t bytes = 0;
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (name == "inactive_file" || name == "active_file") bytes += value;
  }
  return bytes;
}

/// The names of one version's files.
struct CgroupFiles {
  const char* root;
  const char* limit;
  const char* used;
};
constexpr CgroupFiles version_2{"/sys/fs/cgroup", "memory.max", "memory.current"};
constexpr CgroupFiles version_1{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"};

/// What is left in the group `path` and in those that it lies in: each may have a limit. In a container the
/// process may see its own group at the root, whatever its path says.
std::uint64_t left_in_cgroups(const CgroupFiles& files, fs::path path) {
  std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max();
  for (path = path.relative_path();; path = path.parent_path()) {
    const fs::path group = files.root / path;
    const auto limit = number_in(group / files.limit);
    const auto used = number_in(group / files.used);
    if (limit && used) {
      const std::uint64_t kept = *used - std::min(*used, file_cache(group / "memory.stat"));
      bytes = std::min(bytes, *limit > kept ? *limit - kept : 0);
    }
    if (path.empty()) return bytes;
  }
}

std::uint64_t left_in_all_cgroups() {
  std::uint64_t bytes = std::min(left_in_cgroups(version_2, {}), left_in_cgroups(version_1, {}));
  std::ifstream groups("/proc/self/cgroup");
  // "0::/path" is version 2, "7:memory:/path" version 1.
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = line.substr(second + 1);
    if (controllers.empty()) bytes = std::min(bytes, left_in_cgroups(version_2, path));
    if (("," + controllers + ",").find(",memory,") != std::string::npos)
      bytes = std::min(bytes, left_in_cgroups(version_1, path));
  }
  return bytes;
}

std::uint64_t available_in_system() {
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.rfind("MemAvailable:", 0) == 0) return std::stoull(line.substr(13)) * 1024;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

/// The process's address space and the part of it that is its own data, in bytes.
struct Mapped {
  std::uint64_t all = 0;
  std::uint64_t data = 0;
};

Mapped mapped_now() {
  std::ifstream statm("/proc/self/statm");  // size resident shared text lib data dirty, in pages
  std::uint64_t all = 0, ignored = 0, data = 0;
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  if (statm >> all >> ignored >> ignored >> ignored >> ignored >> data) return {all * page, data * page};
  return {};
}

std::uint64_t left_of(const rlimit& limit, std::uint64_t used) {
  if (limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<std::uint64_t>::max();
  return limit.rlim_cur > used ? limit.rlim_cur - used : 0;
}

}  // namespace

std::uint64_t usable_memory_bytes() noexcept {
  std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max();
  try {
    bytes = std::min(bytes, available_in_system());
    bytes = std::min(bytes, left_in_all_cgroups());
    const Mapped mapped = mapped_now();
    rlimit limit{};
    if (getrlimit(RLIMIT_AS, &limit) == 0) bytes = std::min(bytes, left_of(limit, mapped.all));
    if (getrlimit(RLIMIT_DATA, &limit) == 0) bytes = std::min(bytes, left_of(limit, mapped.data));
  } catch (...) {
    // A malformed file tells nothing; the limits that were read stand.
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
