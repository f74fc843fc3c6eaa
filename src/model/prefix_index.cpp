#include "model/prefix_index.hpp"

#include <xxhash.h>

#include <algorithm>
#include <type_traits>

#include "base/check.hpp"

namespace troupe {

std::size_t PrefixIndex::KeyHash::operator()(const Key& key) const noexcept {
  static_assert(std::has_unique_object_representations_v<Key>);
  return XXH3_64bits(&key, sizeof key);
}

PrefixIndex::Key PrefixIndex::key_of(Serial parent, std::span<const Token> tokens) {
  TROUPE_CHECK(tokens.size() == page_tokens);
  Key key;
  key.parent = parent;
  std::copy(tokens.begin(), tokens.end(), key.tokens.begin());
  return key;
}

std::optional<PrefixIndex::Hit> PrefixIndex::find(Serial parent, std::span<const Token> tokens) const {
  const auto found = by_key_.find(key_of(parent, tokens));
  if (found == by_key_.end()) return std::nullopt;
  return Hit{found->second, entries_.at(found->second).serial};
}

PrefixIndex::Hit PrefixIndex::add(Serial parent, std::span<const Token> tokens, PageId page) {
  TROUPE_CHECK(!contains(page));
  const auto [place, fresh] = by_key_.try_emplace(key_of(parent, tokens), page);
  if (!fresh) return {place->second, entries_.at(place->second).serial};
  entries_.emplace(page, Entry{&place->first, ++last_serial_, busy_.insert(busy_.end(), page)});
  return {page, last_serial_};
}

void PrefixIndex::set_idle(PageId page) noexcept {
  idle_.splice(idle_.end(), busy_, entries_.find(page)->second.place);
}

void PrefixIndex::set_busy(PageId page) noexcept {
  busy_.splice(busy_.end(), idle_, entries_.find(page)->second.place);
}

std::optional<PrefixIndex::PageId> PrefixIndex::take_oldest() {
  if (idle_.empty()) return std::nullopt;
  const PageId page = idle_.front();
  idle_.pop_front();
  const auto found = entries_.find(page);
  by_key_.erase(by_key_.find(*found->second.key));
  entries_.erase(found);
  return page;
}

}  // namespace troupe
