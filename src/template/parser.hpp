#pragma once

#include <string_view>

#include "template/syntax.hpp"

namespace troupe::jinja {

/// The template that `source` spells. Throws Failure, which names the line. Linear; what nests too deep for
/// the stack is refused.
Syntax parse(std::string_view source);

}  // namespace troupe::jinja
