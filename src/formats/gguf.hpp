#pragma once
// GGUF, versions 2 and 3, little-endian. All numbers are little-endian and unaligned up to the tensor data.
//
//   header        u32  magic              the characters GGUF
//                 u32  version            2 or 3 (they differ only in that 3 may also be big-endian)
//                 u64  tensor_count
//                 u64  metadata_kv_count
//   metadata      metadata_kv_count times:
//                   string key
//                   u32    value_type     0 u8, 1 i8, 2 u16, 3 i16, 4 u32, 5 i32, 6 f32, 7 bool (one byte, 0
//                   or 1),
//                                         8 string, 9 array, 10 u64, 11 i64, 12 f64
//                   value                 array: u32 element_type, u64 count, the elements
//   tensor infos  tensor_count times:
//                   string name
//                   u32    n_dimensions
//                   u64    dimensions[n_dimensions]   innermost first
//                   u32    type                       see base/tensor_type.hpp
//                   u64    offset                     from the begin of the tensor data
//   padding       to a multiple of general.alignment (a metadata key; 32 without it)
//   tensor data   each tensor at its offset, a multiple of the alignment; zeros between
//
//   string        u64 length, the bytes; no terminator, meant to be UTF-8 but not checked here
//
// The format is described by the GGUF document of the ggml project.

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "formats/checkpoint.hpp"

namespace troupe {

/// Reads a GGUF file that lies in memory. `name` begins every error message. The tensor views point into
/// `file`, which `storage` keeps alive (it may be null when the caller does); they are as aligned as the
/// begin of `file` and general.alignment allow, so 8 bytes at least in a mapped file.
///
/// `file` may hold anything. Everything is checked against its size first, and the memory taken is at
/// most 8 times that size and some kilobytes (one-byte integers widened to 64 bits are the worst case).
/// Refused besides what is out of bounds: duplicate keys and tensor names, empty tensors,
/// tensors that overlap, and a file that ends within the padding behind its last tensor. A file that ends
/// right at its last tensor is accepted, as some programs write that; so are bytes behind the padding.
/// Errors: bad_file; unsupported for other versions, big-endian files, unknown tensor types, arrays in
/// arrays and parts of a split model.
Result<Checkpoint> read_gguf(std::span<const std::byte> file, std::string_view name,
                             std::shared_ptr<const void> storage);

/// The same for a file that may be one of several (gguf_shards.hpp): has the tensors that are in it.
Result<Checkpoint> read_gguf_shard(std::span<const std::byte> file, std::string_view name,
                                   std::shared_ptr<const void> storage);

}  // namespace troupe
