#pragma once
// Text laid out for a terminal of a given width. Pure functions.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace troupe::tools {

/// Terminal columns that `text` takes: 0 for combining marks and control characters, 2 for wide characters, 1
/// for whatever is no UTF-8.
std::size_t display_columns(std::string_view text) noexcept;

/// The longest beginning of `text` that takes at most `columns`; where something is left out it ends in "…".
std::string shortened(std::string_view text, std::size_t columns);

/// The lines of `text` broken at spaces to at most `columns` each; a word that is longer is kept whole.
/// Newlines in the text are kept. At least one line.
std::vector<std::string> wrapped(std::string_view text, std::size_t columns);

/// Terms with their explanations, each row ending in a newline: two columns where there is room for them,
/// else the explanation indented below its term.
std::string definition_list(const std::vector<std::pair<std::string, std::string>>& rows,
                            std::size_t columns);

/// One line of at most `columns`: "label [#####     ]  50%", without the bar where it does not fit.
std::string progress_line(std::string_view label, double share, std::size_t columns);

/// 1234567 → "1.23 M", with the suffixes K, M, G, T of 1000 each.
std::string short_count(double count);

/// Bytes with the suffixes KiB, MiB, GiB, TiB.
std::string short_bytes(double bytes);

/// `value` with `decimals` digits behind the point, whatever the locale.
std::string fixed_decimals(double value, int decimals);

}  // namespace troupe::tools
