#pragma once

#include <optional>
#include <string>

#include "template/rendering.hpp"

namespace troupe::jinja {

/// The parameters of Python's json.dumps(), with Hugging Face's defaults.
struct JsonStyle {
  bool ascii_only = false;
  std::optional<std::string> indent;  ///< of a level; nullopt: all on one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  bool sort_keys = false;
};

/// `value` as json.dumps() writes it. Throws for what is no JSON.
void append_json(TextBuilder& out, Rendering& in, const Value& value, const JsonStyle& style);

}  // namespace troupe::jinja
