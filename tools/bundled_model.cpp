#include "tools/bundled_model.hpp"

#include <array>
#include <system_error>

#include "base/utf8.hpp"

namespace troupe::tools {

Result<std::filesystem::path> bundled_model() {
  std::error_code error;
  // Found from where the program lies, so that a prefix can be moved.
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return Error{Errc::io, "cannot find the bundled model: /proc/self/exe: " + error.message()};
  const std::filesystem::path folder = program.parent_path();
  const std::array places = {folder / TROUPE_BUNDLED_MODEL,
                             folder / TROUPE_DATA_FROM_BIN / TROUPE_BUNDLED_MODEL};
  for (const auto& place : places) {
    if (std::filesystem::is_regular_file(place, error)) return place.lexically_normal();
  }
  return Error{Errc::io, "the bundled model is neither at " + in_quotes(places[0].string()) + " nor at " +
                             in_quotes(places[1].lexically_normal().string()) + ": name a MODEL file"};
}

}  // namespace troupe::tools
