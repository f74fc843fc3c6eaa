#pragma once
// Test data that lies beside the checkout (../shared/data), not in it.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace troupe::test {

/// The path of `name` under shared/data, or nullopt, having said on stderr that the test is skipped and why.
/// TROUPE_SHARED (set by the build) names the folder.
inline std::optional<std::filesystem::path> shared_data(const std::string& name) {
  const char* root = std::getenv("TROUPE_SHARED");
  const auto path = std::filesystem::path(root != nullptr ? root : "../shared") / "data" / name;
  if (std::filesystem::exists(path)) return path;
  std::fprintf(stderr, "SKIPPED: no test data at %s\n", path.c_str());
  return std::nullopt;
}

}  // namespace troupe::test
