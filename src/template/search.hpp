#pragma once
// Search in bytes, in linear time whatever the texts: std::string_view's takes the product of both lengths.

#include <cstddef>
#include <string_view>

#include "template/budget.hpp"

namespace troupe::jinja {

inline constexpr std::size_t not_found = std::string_view::npos;

/// Where `part` first is in `text` at or behind `from`; what is read counts as steps.
std::size_t find_first(Budget& budget, std::string_view text, std::string_view part, std::size_t from = 0);
/// Where it last is.
std::size_t find_last(Budget& budget, std::string_view text, std::string_view part);

}  // namespace troupe::jinja
