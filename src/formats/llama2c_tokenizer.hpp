#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/checkpoint.hpp"

namespace troupe {

/// Translates llama2.c's tokenizer.bin (llama2c.hpp draws it) into the tokenizer.ggml.* keys of `out`. The
/// file must hold exactly `vocab_size` tokens. Takes at most 16 times its size in memory.
/// Errors: bad_file, naming the token at fault.
Status read_llama2c_tokenizer(std::span<const std::byte> file, std::string_view name,
                              std::uint64_t vocab_size, Metadata& out);

}  // namespace troupe
