#include "tokenizer/characters.hpp"

#include <algorithm>
#include <iterator>

#include "base/utf8.hpp"
#include "tokenizer/character_kinds.hpp"

namespace troupe {
namespace {

CharKinds looked_up(char32_t code) noexcept {
  const auto ranges = kinds_by_range();
  const auto after = std::upper_bound(ranges.begin(), ranges.end(), code,
                                      [](char32_t c, const KindsFrom& range) { return c < range.first; });
  return std::prev(after)->kind;
}

/// One entry per character of the planes 0 and 1, which hold nearly all that is written: a look-up in it is
/// an order of magnitude faster than in the ranges.
class NearKinds {
 public:
  static constexpr char32_t end = 0x20000;

  NearKinds() {
    const auto ranges = kinds_by_range();
    for (std::size_t i = 0; i < ranges.size() && ranges[i].first < end; ++i) {
      const char32_t next = i + 1 < ranges.size() ? std::min(ranges[i + 1].first, end) : end;
      std::fill(kinds_.begin() + ranges[i].first, kinds_.begin() + next, ranges[i].kind);
    }
  }

  CharKinds operator[](char32_t code) const { return kinds_[code]; }

 private:
  std::array<CharKinds, end> kinds_;
};

const NearKinds near_kinds;

}  // namespace

CharKinds kind_of(char32_t code) noexcept {
  return code < NearKinds::end ? near_kinds[code] : looked_up(code);
}

Character detail::long_character_at(std::string_view text, std::size_t at) noexcept {
  const Utf8Step step = utf8_step(text.substr(at));
  const char32_t code = step.valid ? step.code : U'\uFFFD';
  return {code, kind_of(code), static_cast<std::uint8_t>(step.bytes)};
}

}  // namespace troupe
