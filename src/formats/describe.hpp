#pragma once

#include <string>

#include "formats/checkpoint.hpp"

namespace troupe {

/// What is in a model file, for people: format, size, architecture, parameters per tensor type, context,
/// tokenizer, chat template; all metadata, long values shortened; `with_tensors`, a line per tensor. Many
/// lines, the last ends in a line break. Names and values come from the file, so control characters in
/// them are escaped.
std::string describe(const Checkpoint& checkpoint, bool with_tensors);

/// The same as one JSON object, without a line break:
///   {"format", "file_bytes", "architecture" or null, "parameters", "context_length" or null,
///    "tokenizer" or null, "vocab_size", "chat_template": bool,
///    "tensor_types": [{"type", "tensors", "parameters", "bytes"}, …],
///    "metadata": {key: scalar or {"element", "count", "values"}, …},
///    "tensors": [{"name", "type", "dims" (outermost first), "bytes"}, …]}   only `with_tensors`
/// An array's "values" are its first 16 elements. Bytes that are no UTF-8 become U+FFFD; numbers that are
/// infinite or none at all become null.
std::string describe_json(const Checkpoint& checkpoint, bool with_tensors);

}  // namespace troupe
