// Filters of numbers, and those that make numbers of others.

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "template/builtin.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

std::string_view without_space(std::string_view text) {
  text.remove_prefix(leading_space_bytes(text));
  text.remove_suffix(trailing_space_bytes(text));
  return text;
}

/// Python's int("…", base), for what fits 64 bits.
std::optional<std::int64_t> parsed_integer(std::string_view text, int base) {
  text = without_space(text);
  const bool is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  const auto prefixed = [&](char letter) {
    return text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == letter;
  };
  if ((base == 16 && prefixed('x')) || (base == 8 && prefixed('o')) || (base == 2 && prefixed('b'))) {
    text.remove_prefix(2);
  }
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() && text[i - 1] != '_';
    if (text[i] == '_' && between) continue;
    digits += text[i];
  }
  if (digits.empty() || digits.front() == '-') return std::nullopt;
  if (is_negative) digits.insert(digits.begin(), '-');
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

/// Python's float("…").
std::optional<double> parsed_double(std::string_view text) {
  text = without_space(text);
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end != text.data() + text.size() || text.empty()) return std::nullopt;
  if (error == std::errc::result_out_of_range) return std::strtod(std::string(text).c_str(), nullptr);
  if (error != std::errc()) return std::nullopt;
  return number;
}

/// Cut towards zero; nullopt for what no 64 bits hold.
std::optional<std::int64_t> cut(double number) {
  constexpr double limit = 9223372036854775808.0;  // 2^63
  if (!(number >= -limit && number < limit)) return std::nullopt;
  return static_cast<std::int64_t>(number);
}

Value to_integer(Call& call, const Value& self) {
  if (const auto* undefined = self.get<Undefined>()) fail_undefined(call.in, *undefined);
  if (const auto number = self.as_integer()) return *number;
  std::optional<double> floating = self.as_double();
  if (const Text* text = self.text()) {
    const std::int64_t base = call.integer(1, 10);
    if (base < 2 || base > 36) call.fail("needs a base from 2 to 36");
    if (const auto number = parsed_integer(text->bytes(), static_cast<int>(base))) return *number;
    floating = parsed_double(text->bytes());
  }
  if (!floating || !std::isfinite(*floating)) {
    if (call.has(0)) return *call.at(0);
    return std::int64_t{0};
  }
  if (const auto number = cut(*floating)) return *number;
  call.fail("has a number too large for 64 bits");
}

Value to_double(Call& call, const Value& self) {
  if (const auto* undefined = self.get<Undefined>()) fail_undefined(call.in, *undefined);
  if (const auto number = self.as_double()) return *number;
  if (const Text* text = self.text()) {
    if (const auto number = parsed_double(text->bytes())) return *number;
  }
  if (call.has(0)) return *call.at(0);
  return 0.0;
}

double number_of(const Call& call, const Value& self) {
  if (const auto number = self.as_double()) return *number;
  if (const auto* undefined = self.get<Undefined>()) fail_undefined(call.in, *undefined);
  call.fail("needs a number, not " + std::string(type_name(self)));
}

Value absolute(Call& call, const Value& self) {
  const double number = number_of(call, self);
  if (!self.as_integer()) return std::fabs(number);
  return *self.as_integer() < 0 ? negated(call.in, self) : Value(*self.as_integer());
}

/// To `precision` decimals, ties to even by the exact value, as Python does.
double rounded(double number, std::int64_t precision) {
  if (precision > 330 || !std::isfinite(number)) return number;
  if (precision >= 0) {
    char digits[700];
    std::snprintf(digits, sizeof digits, "%.*f", static_cast<int>(precision), number);
    return std::strtod(digits, nullptr);
  }
  if (precision < -320) return 0;
  const double scale = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(number / scale) * scale;
}

Value round_to(Call& call, const Value& self) {
  const double number = number_of(call, self);
  const std::int64_t precision = call.integer(0, 0);
  const TextPtr method = call.text(1);
  const std::string_view how = method == nullptr ? "common" : method->bytes();
  if (how == "common") {
    // Python keeps an int an int.
    if (self.as_integer() && precision >= 0) return *self.as_integer();
    const double result = rounded(number, precision);
    const auto whole = self.as_integer() ? cut(result) : std::nullopt;
    return whole ? Value(*whole) : Value(result);
  }
  if (how != "ceil" && how != "floor") call.fail("knows the methods common, ceil and floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return (how == "ceil" ? std::ceil(number * scale) : std::floor(number * scale)) / scale;
}

constexpr Builtin filters[] = {
    {"abs", "", 0, absolute},
    {"float", "default", 0, to_double},
    {"int", "default base", 0, to_integer},
    {"round", "precision method", 0, round_to},
};

}  // namespace

const Builtin* find_number_filter(std::string_view name) {
  return find_row(filters, name);
}

}  // namespace troupe::jinja
