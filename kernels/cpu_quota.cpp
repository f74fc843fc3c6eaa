#include "kernels/cpu_quota.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/thread_pool.hpp"

namespace troupe {
namespace {

namespace fs = std::filesystem;

/// quota / period, rounded down but at least 1; 0 = unlimited or unreadable.
unsigned whole_cpus(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<unsigned>(std::clamp<long long>(quota / period, 1, 1 << 20));
}

long long read_number(const fs::path& file) {
  std::ifstream in(file);
  long long value = -1;
  return in >> value ? value : -1;
}

unsigned limit_v2(const fs::path& group) {
  std::ifstream in(group / "cpu.max");
  std::string quota;
  long long period = 0;
  if (!(in >> quota >> period) || quota == "max") return 0;
  return whole_cpus(std::strtoll(quota.c_str(), nullptr, 10), period);
}

unsigned limit_v1(const fs::path& group) {
  return whole_cpus(read_number(group / "cpu.cfs_quota_us"), read_number(group / "cpu.cfs_period_us"));
}

/// The smallest limit of the groups root/path, root/path/.., up to root.
template <class Limit>
unsigned tightest(const fs::path& root, std::string_view path, Limit limit) {
  unsigned result = 0;
  const auto join = [&](unsigned cpus) {
    if (cpus != 0) result = result == 0 ? cpus : std::min(result, cpus);
  };
  fs::path group = fs::path(path).relative_path();
  // In a container the path may name a group of the host that is not visible here: then the reads fail and
  // only the root, which is the container's own group, answers.
  for (int depth = 0; depth < 64 && !group.empty(); ++depth, group = group.parent_path())
    join(limit(root / group));
  join(limit(root));
  return result;
}

bool lists(std::string_view controllers, std::string_view name) {
  while (!controllers.empty()) {
    const std::size_t comma = std::min(controllers.find(','), controllers.size());
    if (controllers.substr(0, comma) == name) return true;
    controllers.remove_prefix(std::min(comma + 1, controllers.size()));
  }
  return false;
}

unsigned affinity_cpus() {
  for (std::size_t cpus = 1024; cpus <= (1u << 20); cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(cpus);
    if (set == nullptr) return 0;
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return static_cast<unsigned>(count);
  }
  return 0;
}

}  // namespace

unsigned quota_cpus(const fs::path& mounts, std::string_view memberships) {
  unsigned result = 0;
  const auto join = [&](unsigned cpus) {
    if (cpus != 0) result = result == 0 ? cpus : std::min(result, cpus);
  };
  // Lines of the form id:controllers:path; version 2 has id 0 and no controllers.
  while (!memberships.empty()) {
    const std::size_t end = std::min(memberships.find('\n'), memberships.size());
    const std::string_view line = memberships.substr(0, end);
    memberships.remove_prefix(std::min(end + 1, memberships.size()));
    const std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string_view path = line.substr(second + 1);
    if (controllers.empty()) {
      join(tightest(mounts, path, limit_v2));
      join(tightest(mounts / "unified", path, limit_v2));
    } else if (lists(controllers, "cpu")) {
      join(tightest(mounts / "cpu", path, limit_v1));
      if (controllers != "cpu") join(tightest(mounts / fs::path(controllers), path, limit_v1));
    }
  }
  return result;
}

unsigned usable_threads() noexcept {
  unsigned result = static_cast<unsigned>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  if (const unsigned cpus = affinity_cpus(); cpus != 0) result = std::min(result, cpus);
  try {
    std::ifstream in("/proc/self/cgroup");
    const std::string memberships{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (const unsigned cpus = quota_cpus("/sys/fs/cgroup", memberships); cpus != 0)
      result = std::min(result, cpus);
  } catch (const std::exception&) {
    // Out of memory or an odd file system: the affinity mask still holds.
  }
  return result;
}

}  // namespace troupe
