#pragma once

#include <filesystem>

#include "formats/checkpoint.hpp"

namespace troupe {

struct OpenCheckpointOptions {
  /// The vocabulary of a file that has none. llama2.c: its tokenizer.bin; empty: looked for beside the model
  /// (see llama2c.hpp). SMND: a text with every character of the alphabet; empty: the vocabulary that the
  /// checkpoint keeps, or none (see smnd.hpp).
  std::filesystem::path tokenizer;
  /// A llama2.c file whose tokenizer is not found is opened without a vocabulary.
  bool vocabulary_optional = false;
};

/// Opens a model file of any known format, recognised by its first bytes, not its name; one of several GGUF
/// shards opens all of them. The file is mapped
/// read-only and treated as hostile: every count, offset and size is checked against the file's real size
/// before anything is allocated. Errors: io, bad_file (naming the field and its value), unsupported,
/// bad_argument (a vocabulary that is missing, does not fit or is not wanted).
Result<Checkpoint> open_checkpoint(const std::filesystem::path& path,
                                   const OpenCheckpointOptions& options = {});

}  // namespace troupe
