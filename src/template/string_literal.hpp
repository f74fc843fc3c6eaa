#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace troupe::jinja {

struct StringLiteral {
  std::string text;       ///< with its escapes resolved
  std::size_t bytes = 0;  ///< of the literal with its quotes
};

/// Reads the string at the beginning of `source`, in single or double quotes, with Python's escapes. Throws
/// Failure, naming `line`.
StringLiteral read_string_literal(std::string_view source, std::uint32_t line);

}  // namespace troupe::jinja
