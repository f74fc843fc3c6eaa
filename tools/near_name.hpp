#pragma once

#include <span>
#include <string>
#include <string_view>

namespace troupe::tools {

/// The one of `names` that `word` was probably meant to be: the first of those with the fewest changes of one
/// character, at most two and at most half of the word. Empty when none is that near.
std::string_view near_name(std::string_view word, std::span<const std::string> names);

}  // namespace troupe::tools
