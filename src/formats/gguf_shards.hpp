#pragma once
// GGUF models that were cut into several files, "<name>-00001-of-00003.gguf" to "<name>-00003-of-00003.gguf",
// as llama.cpp's gguf-split does it. Each is a GGUF file with some of the tensors and the keys
//   split.no             from 0: which it is
//   split.count          how many there are
//   split.tensors.count  of all of them together
// The metadata is in the first.

#include <filesystem>
#include <memory>

#include "base/mapped_file.hpp"
#include "formats/checkpoint.hpp"

namespace troupe {

/// Reads the GGUF file `path`, which is mapped as `file`; if it is one of several, all of them, as one
/// checkpoint with the first one's metadata but the split keys. Any of them may be named. Errors: those of
/// read_gguf(); io for a shard that is not there; bad_file for a file whose name and keys disagree, shards of
/// different models, tensors in two of them, and too few or too many.
Result<Checkpoint> open_gguf(const std::filesystem::path& path,
                             const std::shared_ptr<const MappedFile>& file);

}  // namespace troupe
