#pragma once
// The options of an answer by name: one table for the flags of `generate` and `chat` and for /set.

#include <span>
#include <string>
#include <string_view>

#include "troupe/error.hpp"
#include "troupe/generation.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe::tools {

/// One field of GenerationOptions as people see it.
struct GenerationSetting {
  std::string_view name;        ///< "top-k": the flag is --top-k
  std::string_view short_flag;  ///< "-n", or empty
  std::string_view value_name;  ///< "N", "TEXT", …; empty: a switch, whose flag takes no value
  std::string_view help;
  bool repeats = false;  ///< each value is added to those before it
  /// Puts `value` into its field. Errors: bad_argument, naming `what`, the value and the range.
  Status (*set)(GenerationOptions& options, std::string_view what, std::string_view value);
  /// Back to nothing; only where it repeats.
  void (*clear)(GenerationOptions& options);
  std::string (*show)(const GenerationOptions& options);
};

/// All of them, in the order in which they are shown.
std::span<const GenerationSetting> generation_settings();

/// Whether the model's vocabulary has every token that the options name; `what` is how the option of their
/// biases was called. Errors: bad_argument.
Status check_vocabulary(std::string_view what, const GenerationOptions& options, const Tokenizer& tokenizer);

/// By name; null if there is none. '_' counts as '-'.
const GenerationSetting* find_generation_setting(std::string_view name);

}  // namespace troupe::tools
