#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "troupe/error.hpp"

namespace troupe::tools {

/// What a file of prompts holds.
struct PromptLines {
  std::vector<std::string> prompts;
  std::size_t empty_lines = 0;  ///< left out of `prompts`
};

/// One prompt per line: "\n" or "\r\n" ends a line, the last line may lack it, empty lines are counted and
/// left out, a byte order mark at the beginning is taken off. Everything else is kept as it is, also what is
/// no UTF-8.
PromptLines split_prompts(std::string_view text);

/// The most that read_file() takes: prompts and transcripts are what people write, so a gigabyte is a
/// mistake.
constexpr std::size_t text_file_bytes_max = 64U << 20U;

/// The bytes of a file, or of standard input for "-". Errors: io (naming the path), too_large.
Result<std::string> read_text_file(const std::string& path);

}  // namespace troupe::tools
