#include "tools/text_layout.hpp"

#include <utf8proc.h>
#include <algorithm>
#include <array>
#include <charconv>

#include "base/utf8.hpp"

namespace troupe::tools {
namespace {

constexpr std::size_t term_columns_max = 30;  // a longer term has its explanation on the next line
constexpr std::size_t text_columns_min = 40;  // less room than this beside the terms: below them instead
constexpr std::size_t bar_columns_max = 40;

std::size_t columns_of(const Utf8Step& step) {
  if (!step.valid) return 1;
  const int width = utf8proc_charwidth(static_cast<utf8proc_int32_t>(step.code));
  return width > 0 ? static_cast<std::size_t>(width) : 0;
}

std::string padded(std::string_view text, std::size_t columns) {
  const std::size_t used = display_columns(text);
  return std::string(text) + std::string(columns > used ? columns - used : 0, ' ');
}

}  // namespace

std::size_t display_columns(std::string_view text) noexcept {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    columns += columns_of(step);
    text.remove_prefix(step.bytes);
  }
  return columns;
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (display_columns(text) <= columns) return std::string(text);
  if (columns == 0) return {};
  std::size_t used = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const Utf8Step step = utf8_step(text.substr(at));
    used += columns_of(step);
    if (used > columns - 1) break;  // one column is for the ellipsis
    at += step.bytes;
  }
  return std::string(text.substr(0, at)) + "\xE2\x80\xA6";
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
  std::vector<std::string> lines;
  while (true) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view rest = text.substr(0, end);
    std::string line;
    while (!rest.empty()) {
      const std::size_t space = std::min(rest.find(' '), rest.size());
      const std::string_view word = rest.substr(0, space);
      if (!line.empty() && display_columns(line) + 1 + display_columns(word) > columns) {
        lines.push_back(std::move(line));
        line.clear();
      }
      if (!line.empty()) line += ' ';
      line += word;
      rest.remove_prefix(std::min(space + 1, rest.size()));
    }
    lines.push_back(std::move(line));
    if (end == text.size()) return lines;
    text.remove_prefix(end + 1);
  }
}

std::string definition_list(const std::vector<std::pair<std::string, std::string>>& rows,
                            std::size_t columns) {
  std::size_t term_columns = 0;
  for (const auto& row : rows) {
    const std::size_t wide = display_columns(row.first);
    if (wide <= term_columns_max) term_columns = std::max(term_columns, wide);
  }
  constexpr std::size_t margin = 2;
  std::size_t indent = margin + term_columns + 2;
  const bool beside = indent + text_columns_min <= columns;
  if (!beside) indent = 2 * margin + 2;

  std::string out;
  for (const auto& [term, explanation] : rows) {
    const std::size_t room = columns > indent ? columns - indent : 1;
    out += std::string(margin, ' ');
    bool on_term_line = beside && display_columns(term) <= term_columns;
    out += on_term_line ? padded(term, term_columns) + "  " : term + "\n";
    for (const std::string& line : wrapped(explanation, room)) {
      if (!on_term_line) out += std::string(indent, ' ');
      on_term_line = false;
      out += line;
      out += '\n';
    }
  }
  return out;
}

std::string progress_line(std::string_view label, double share, std::size_t columns) {
  share = std::clamp(share, 0.0, 1.0);
  const std::string percent = std::to_string(static_cast<int>(share * 100));
  const std::string tail = std::string(percent.size() < 3 ? 3 - percent.size() : 0, ' ') + percent + "%";
  const std::string head = std::string(label) + " ";
  const std::size_t fixed = display_columns(head) + 3 + tail.size();  // brackets and a space
  if (fixed + 5 > columns) return shortened(head + tail, columns);
  const std::size_t bar = std::min(columns - fixed, bar_columns_max);
  const auto full = static_cast<std::size_t>(share * static_cast<double>(bar));
  return head + "[" + std::string(full, '#') + std::string(bar - full, ' ') + "] " + tail;
}

std::string fixed_decimals(double value, int decimals) {
  std::array<char, 400> digits{};  // the largest double has 309 digits before the point
  const auto end =
      std::to_chars(digits.data(), digits.data() + digits.size(), value, std::chars_format::fixed, decimals);
  return {digits.data(), end.ptr};
}

std::string short_count(double count) {
  constexpr std::array<const char*, 5> suffixes = {"", " K", " M", " G", " T"};
  std::size_t step = 0;
  while (count >= 1000 && step + 1 < suffixes.size()) {
    count /= 1000;
    ++step;
  }
  return fixed_decimals(count, step == 0 ? 0 : 2) + suffixes[step];
}

std::string short_bytes(double bytes) {
  constexpr std::array<const char*, 5> suffixes = {" B", " KiB", " MiB", " GiB", " TiB"};
  std::size_t step = 0;
  while (bytes >= 1024 && step + 1 < suffixes.size()) {
    bytes /= 1024;
    ++step;
  }
  return fixed_decimals(bytes, step == 0 ? 0 : 1) + suffixes[step];
}

}  // namespace troupe::tools
