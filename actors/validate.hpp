#pragma once
// What a request must be to be admitted. Pure.

#include "actors/messages.hpp"
#include "troupe/model.hpp"

namespace troupe {

/// Checks a request against the model: option ranges, stop texts, that the prompt leaves room in the context.
/// Errors: bad_argument, context_exceeded (with both counts), too_large (can never fit the KV cache).
Status validate(const Submission& submission, const Model& model, std::uint32_t context_tokens,
                std::size_t kv_pages_max);

}  // namespace troupe
