#pragma once
// Numbers as text in files and settings, whatever the locale: what printf() writes in the "C" locale.

#include <charconv>
#include <string>

namespace troupe {

/// With exactly `decimals` of them, as "%.*f".
inline std::string fixed_decimal(double value, int decimals) {
  char buffer[400];  // the largest double has 309 digits in front of the point
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, decimals);
  return {buffer, end.ptr};
}

/// With at most `digits` significant ones, as "%.*g".
inline std::string short_decimal(double value, int digits = 6) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::general, digits);
  return {buffer, end.ptr};
}

}  // namespace troupe
