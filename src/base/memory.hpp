#pragma once

#include <cstdint>

namespace troupe {

/// Bytes that this process may still allocate without swapping or being killed: the smallest of the
/// system's available memory and of what is left of the limits of its cgroups, of its address space
/// (RLIMIT_AS) and of its data (RLIMIT_DATA). Read anew at each call; UINT64_MAX where nothing is known.
std::uint64_t usable_memory_bytes() noexcept;

/// Bytes of this process that are in memory now (its resident set); 0 where nothing is known.
std::uint64_t resident_memory_bytes() noexcept;

}  // namespace troupe
