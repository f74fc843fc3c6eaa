#pragma once
// A model's weights in another type.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "formats/checkpoint.hpp"

namespace troupe {

/// The same model with its matrices as `type` (one that encoding_supported() knows), by way of f32:
///   norms, biases and position_embd.weight become F32, which the layers want;
///   norms of several rows, the choice of experts, short convolutions and token_types.weight keep their type;
///   a matrix whose rows are no multiple of 256 becomes Q5_0, Q5_1 or Q8_0 in the place of Q4_K, Q5_K or
///   Q6_K; one whose rows are no multiple of 32 stays as it is in any type with blocks; both is in `notes`;
///   what is of the wanted type already is shared with `source`, not copied: `source` must outlive the result
///   unless its storage does;
///   general.file_type and general.quantization_version follow, other metadata is copied.
/// progress(share) is called after each tensor; false gives up (cancelled). Runs on `threads` threads (0:
/// what the process may use). The new weights all lie in memory. Errors: unsupported (a tensor to be decoded
/// has a type that cannot be, or values too large for `type`), bad_file (values that are infinite or no
/// number), too_large (not enough memory), cancelled.
Result<Checkpoint> requantize(const Checkpoint& source, TensorType type, std::uint32_t threads,
                              std::vector<std::string>& notes,
                              const std::function<bool(double)>& progress = {});

}  // namespace troupe
