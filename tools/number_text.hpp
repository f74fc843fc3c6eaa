#pragma once
// Numbers as people type them, read strictly: the whole text or nothing, whatever the locale.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "troupe/error.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe::tools {

/// The numbers that an option takes; the open ends leave their limit out.
struct NumberRange {
  double low = 0;
  double high = 0;  ///< infinity: no upper limit
  bool low_open = false;
};

/// The shortest text that reads back as the same number.
std::string short_number(double value);

/// A decimal number in `range`. Errors: bad_argument, naming `what`, the text and the range.
Result<double> parse_number(std::string_view what, std::string_view text, NumberRange range);

/// The same as a float: the number is in `range` once it is rounded, too.
Result<float> parse_float(std::string_view what, std::string_view text, NumberRange range);

/// A whole number from `low` to `high`. Errors as parse_number().
Result<std::uint64_t> parse_whole(std::string_view what, std::string_view text, std::uint64_t low,
                                  std::uint64_t high);

/// A number of bytes, at least 1: whole, or with K, M or G (powers of 1024) behind it. Errors as
/// parse_number().
Result<std::uint64_t> parse_bytes(std::string_view what, std::string_view text);

/// Whole numbers separated by commas, at least one. Errors as parse_number().
Result<std::vector<std::uint32_t>> parse_whole_list(std::string_view what, std::string_view text,
                                                    std::uint32_t low, std::uint32_t high);

/// The pieces of `text` between commas; at least one, which may be empty.
std::vector<std::string_view> split_at_commas(std::string_view text);

/// "yes", "on", "true", "1" or their opposites. Errors as parse_number().
Result<bool> parse_switch(std::string_view what, std::string_view text);

/// Token ids separated by commas or white space, e.g. "1,403,407"; empty text is an empty list. Ids are not
/// compared with a vocabulary. Errors: bad_argument, naming `what` and the piece that is no id.
Result<std::vector<Token>> parse_tokens(std::string_view what, std::string_view text);

/// The error for a token id that a vocabulary of `vocab_size` does not have, if `tokens` holds one.
Status check_tokens(std::string_view what, const std::vector<Token>& tokens, std::size_t vocab_size);

}  // namespace troupe::tools
