#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "formats/checkpoint.hpp"

namespace troupe {

/// Writes metadata and tensors as a GGUF v3 file (gguf.hpp draws it). The same input gives the same bytes:
/// keys in key order, tensors in the order given, each at the next multiple of general.alignment (32
/// without that key), zeros between them and behind the last.
///
/// Metadata has wider types than most files use, and programs that read GGUF insist on the narrow ones, so:
///   std::uint64_t → u32 if it fits, else u64        std::int64_t → i32 if it fits, else i64
///   double → f32 (rounded to nearest; f64 only if it is finite and too large for f32)
///   bool → bool        std::string → string
///   arrays → of the same types, decided for all elements together; an empty array of u32, i32 or f32.
/// A file that holds u8 or u16 values, f64 values or boolean arrays thus does not come back with the same
/// types.
///
/// The file appears whole or not at all (base/atomic_file.hpp). stop() is asked every few MiB; true gives up.
/// Errors: io; cancelled; bad_argument for an empty or oversized key or name, a tensor name that occurs
/// twice, an alignment, type or shape that the format does not allow, and data whose size is not that of the
/// shape.
Status write_gguf(const std::filesystem::path& path, const Metadata& metadata,
                  std::span<const TensorView> tensors, const std::function<bool()>& stop = {});

/// The same file in memory.
Result<std::vector<std::byte>> gguf_image(const Metadata& metadata, std::span<const TensorView> tensors);

}  // namespace troupe
