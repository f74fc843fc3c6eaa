#include "template/search.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace troupe::jinja {

std::size_t find_first(Budget& budget, std::string_view text, std::string_view part, std::size_t from) {
  if (from > text.size()) return not_found;
  if (part.empty()) return from;
  const std::string_view rest = text.substr(from);
  // glibc's is the two-way algorithm.
  const void* found = ::memmem(rest.data(), rest.size(), part.data(), part.size());
  const std::size_t at = found == nullptr
                             ? rest.size()
                             : static_cast<std::size_t>(static_cast<const char*>(found) - rest.data());
  budget.walk(at + part.size());
  return found == nullptr ? not_found : from + at;
}

std::size_t find_last(Budget& budget, std::string_view text, std::string_view part) {
  const std::string backwards(text.rbegin(), text.rend());
  const std::string wanted(part.rbegin(), part.rend());
  budget.walk(text.size());
  const std::size_t at = find_first(budget, backwards, wanted);
  return at == not_found ? not_found : text.size() - at - part.size();
}

}  // namespace troupe::jinja
