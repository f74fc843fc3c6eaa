#pragma once

#include "template/syntax.hpp"

namespace troupe::jinja {

/// A macro as a value, which sees the names of the scope it is made in.
Value make_closure(Rendering& in, const Procedure& procedure);

}  // namespace troupe::jinja
