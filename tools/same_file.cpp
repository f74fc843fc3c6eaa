#include "tools/same_file.hpp"

#include <system_error>

namespace troupe::tools {
namespace {

namespace fs = std::filesystem;

/// Without links as far as the path exists; empty if it cannot be told.
fs::path resolved(const fs::path& path) {
  std::error_code error;
  const fs::path whole = fs::absolute(path, error);
  return error ? fs::path() : fs::weakly_canonical(whole, error);
}

}  // namespace

bool same_file(const fs::path& a, const fs::path& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code ignored;
  if (fs::equivalent(a, b, ignored)) return true;
  const fs::path place = resolved(a);
  return !place.empty() && place == resolved(b);
}

}  // namespace troupe::tools
