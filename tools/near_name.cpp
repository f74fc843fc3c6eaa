#include "tools/near_name.hpp"

#include <algorithm>
#include <vector>

namespace troupe::tools {
namespace {

// How many single-character changes turn one word into the other.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({changed, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view near_name(std::string_view word, std::span<const std::string> names) {
  constexpr std::size_t changes_max = 2;  // farther away is a guess, not a slip
  std::size_t best = std::min(changes_max, word.size() / 2) + 1;
  std::string_view near;
  for (const std::string& name : names) {
    const std::size_t distance = edit_distance(word, name);
    if (distance >= best) continue;
    best = distance;
    near = name;
  }
  return near;
}

}  // namespace troupe::tools
