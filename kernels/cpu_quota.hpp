#pragma once
// The CPU share that Linux control groups leave this process.

#include <filesystem>
#include <string_view>

namespace troupe {

/// Whole CPUs (at least 1) that the tightest group on the way from the process's own to the root allows, or
/// 0 when none limits it or nothing can be read. `mounts` is where the hierarchies are mounted
/// (/sys/fs/cgroup), `memberships` the text of /proc/self/cgroup. Understands version 2 (cpu.max) and
/// version 1 (cpu.cfs_quota_us, cpu.cfs_period_us).
unsigned quota_cpus(const std::filesystem::path& mounts, std::string_view memberships);

}  // namespace troupe
