#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "formats/checkpoint.hpp"

namespace troupe {

/// A line of describe(): what and how much, without control characters.
struct Fact {
  std::string label;
  std::string text;
};

/// What is in a model file, for people: format, size, architecture, parameters, tensor types by their share,
/// context, tokenizer, chat template with its beginning; then `more`; all metadata, long values shortened;
/// `with_tensors`, a line per tensor. Many lines, the last ends in a line break. Names and values come from
/// the file, so control characters in them are escaped.
std::string describe(const Checkpoint& checkpoint, bool with_tensors, std::span<const Fact> more = {});

/// The same as one JSON object, without a line break:
///   {"format", "file_bytes", "architecture" or null, "parameters", "context_length" or null,
///    "tokenizer" or null, "vocab_size", "chat_template": bool,
///    "chat_template_text" or null,
///    "tensor_types": [{"type", "tensors", "parameters", "bytes"}, …],
///    "metadata": {key: scalar or {"element", "count", "values"}, …},
///    "tensors": [{"name", "type", "dims" (outermost first), "bytes"}, …]}   only `with_tensors`
/// An array's "values" are its first 16 elements. Bytes that are no UTF-8 become U+FFFD; numbers that are
/// infinite or none at all become null.
/// `more` are members that go in front of the metadata, as JSON text: "\"a\":1,\"b\":2", or empty.
std::string describe_json(const Checkpoint& checkpoint, bool with_tensors, const std::string& more = {});

/// 1185376 → "1.13 MiB"; exact below 1024.
std::string size_text(std::uint64_t bytes);

}  // namespace troupe
