#pragma once

#include <filesystem>

namespace troupe::tools {

/// Whether both paths lead to one file, by whatever spelling or link, or would once they are made. What
/// cannot be examined is not the same file, or fails when it is opened; an empty path is none.
bool same_file(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace troupe::tools
