#pragma once

#include <filesystem>

#include "formats/checkpoint.hpp"

namespace troupe {

struct OpenCheckpointOptions {
  /// llama2.c only: its tokenizer.bin. Empty: looked for beside the model (see llama2c.hpp).
  std::filesystem::path tokenizer;
};

/// Opens a model file of any known format, recognised by its first bytes, not its name. The file is mapped
/// read-only and treated as hostile: every count, offset and size is checked against the file's real size
/// before anything is allocated. Errors: io, bad_file (naming the field and its value), unsupported.
Result<Checkpoint> open_checkpoint(const std::filesystem::path& path,
                                   const OpenCheckpointOptions& options = {});

}  // namespace troupe
