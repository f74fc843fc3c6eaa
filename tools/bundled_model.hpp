#pragma once

#include <filesystem>

#include "troupe/error.hpp"

namespace troupe::tools {

/// The model that comes with Troupe, used where MODEL is left out: beside the program in a build tree, in the
/// data folder of the same prefix once installed. Errors: io, naming the places where it was looked for.
Result<std::filesystem::path> bundled_model();

}  // namespace troupe::tools
