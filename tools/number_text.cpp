#include "tools/number_text.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "base/try.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

constexpr std::size_t quoted_columns_max = 40;  // of the user's text in an error message

Error bad_value(std::string_view what, std::string_view text, const std::string& wanted) {
  return {Errc::bad_argument,
          std::string(what) + " must be " + wanted + ", not '" + shortened(text, quoted_columns_max) + "'"};
}

std::string range_text(NumberRange range) {
  if (std::isinf(range.high))
    return (range.low_open ? "a number above " : "a number of at least ") + short_number(range.low);
  return (range.low_open ? "a number above " + short_number(range.low) + " and at most "
                         : "a number from " + short_number(range.low) + " to ") +
         short_number(range.high);
}

template <class Number>
bool parse_all(std::string_view text, Number& number) {
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  return end.ec == std::errc() && end.ptr == text.data() + text.size();
}

std::string_view without_plus(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  return text;
}

}  // namespace

std::string short_number(double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  return {digits, end.ptr};
}

Result<double> parse_number(std::string_view what, std::string_view text, NumberRange range) {
  double number = 0;
  if (!parse_all(without_plus(text), number) || !std::isfinite(number) || number < range.low ||
      number > range.high || (range.low_open && number == range.low)) {
    return bad_value(what, text, range_text(range));
  }
  return number;
}

Result<float> parse_float(std::string_view what, std::string_view text, NumberRange range) {
  TROUPE_TRY(const double number, parse_number(what, text, range));
  const auto rounded = static_cast<float>(number);
  if (range.low_open && rounded <= range.low) {
    Error error = bad_value(what, text, range_text(range));
    error.message += ", which is rounded to " + short_number(rounded);
    return error;
  }
  return rounded;
}

Result<std::uint64_t> parse_whole(std::string_view what, std::string_view text, std::uint64_t low,
                                  std::uint64_t high) {
  std::uint64_t number = 0;
  if (!parse_all(without_plus(text), number) || number < low || number > high) {
    return bad_value(what, text,
                     "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return number;
}

Result<std::uint64_t> parse_bytes(std::string_view what, std::string_view text) {
  constexpr std::string_view units = "KMG";
  const std::size_t unit = text.empty() ? std::string_view::npos : units.find(text.back());
  const unsigned shift = unit == std::string_view::npos ? 0 : 10 * static_cast<unsigned>(unit + 1);
  std::uint64_t number = 0;
  if (!parse_all(without_plus(text.substr(0, text.size() - (shift != 0))), number) || number == 0 ||
      number > std::numeric_limits<std::uint64_t>::max() >> shift) {
    return bad_value(what, text, "a number of bytes, at least 1, as 1048576, 1024K, 1M or 2G");
  }
  return number << shift;
}

std::vector<std::string_view> split_at_commas(std::string_view text) {
  std::vector<std::string_view> pieces;
  while (true) {
    const std::size_t comma = text.find(',');
    pieces.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return pieces;
    text.remove_prefix(comma + 1);
  }
}

Result<std::vector<std::uint32_t>> parse_whole_list(std::string_view what, std::string_view text,
                                                    std::uint32_t low, std::uint32_t high) {
  std::vector<std::uint32_t> numbers;
  for (const std::string_view piece : split_at_commas(text)) {
    TROUPE_TRY(const std::uint64_t number, parse_whole(what, piece, low, high));
    numbers.push_back(static_cast<std::uint32_t>(number));
  }
  return numbers;
}

Result<bool> parse_switch(std::string_view what, std::string_view text) {
  if (text == "on" || text == "yes" || text == "true" || text == "1") return true;
  if (text == "off" || text == "no" || text == "false" || text == "0") return false;
  return bad_value(what, text, "on or off");
}

Result<std::vector<Token>> parse_tokens(std::string_view what, std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  std::vector<Token> tokens;
  bool after_comma = false;
  while (true) {
    const std::size_t begin = std::min(text.find_first_not_of(space), text.size());
    text.remove_prefix(begin);
    if (text.empty() && !after_comma) return tokens;
    const std::size_t end = std::min(text.find_first_of(",\t\r\n "), text.size());
    const std::string_view piece = text.substr(0, end);
    TROUPE_TRY(const std::uint64_t id,
               parse_whole(std::string(what) + ": a token id", piece, 0, std::numeric_limits<Token>::max()));
    tokens.push_back(static_cast<Token>(id));
    text.remove_prefix(end);
    text.remove_prefix(std::min(text.find_first_not_of(space), text.size()));
    after_comma = !text.empty() && text.front() == ',';
    if (after_comma) text.remove_prefix(1);
  }
}

Status check_tokens(std::string_view what, const std::vector<Token>& tokens, std::size_t vocab_size) {
  for (const Token token : tokens) {
    if (token >= 0 && static_cast<std::size_t>(token) < vocab_size) continue;
    return Error{Errc::bad_argument, std::string(what) + ": token id " + std::to_string(token) +
                                         " is outside the vocabulary, which ends at " +
                                         std::to_string(vocab_size == 0 ? 0 : vocab_size - 1)};
  }
  return {};
}

}  // namespace troupe::tools
