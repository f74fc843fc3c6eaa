#pragma once
// The JSON that the tools print: written by hand, because its numbers are for people too (17.5, not 1.75E1)
// and its strings must be valid whatever bytes a prompt holds.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "troupe/error.hpp"
#include "troupe/generation.hpp"

namespace troupe::tools {

/// `text` as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD; control characters, DEL
/// and C1 included, are escaped, so that the line is harmless on a terminal.
std::string json_quoted(std::string_view text);

/// The shortest number that reads back as the same float; null for what JSON cannot say (infinity, NaN).
std::string json_number(float value);

/// [1,2,3]
std::string json_tokens(std::span<const Token> tokens);

/// One line of `generate --json`, without its newline. A failed prompt has finish_reason "error" and an
/// "error" object with code and message beside the usual fields.
std::string json_generation(std::size_t index, std::string_view prompt, const Result<Generation>& result);

}  // namespace troupe::tools
