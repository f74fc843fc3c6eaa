#pragma once

#include <memory>

#include "formats/checkpoint.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// The tokenizer that a checkpoint's metadata describes (`tokenizer.ggml.*` keys). Copies what it needs:
/// the checkpoint may be closed afterwards. Errors: unsupported (names tokenizer.ggml.model), bad_file.
Result<std::unique_ptr<Tokenizer>> load_tokenizer(const Checkpoint& checkpoint);

}  // namespace troupe
