#pragma once
// Which pages of the KV cache hold which beginnings of texts. A page is known by its own tokens and the page
// before it, so a chain of pages is found token by token and never by a hash alone.

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <unordered_map>

#include "kernels/attention.hpp"
#include "troupe/tokenizer.hpp"

namespace troupe {

/// Owned by one KvCache; not thread-safe. Pages that nobody uses are kept in the order in which they were
/// last used, to be taken from the oldest end.
class PrefixIndex {
 public:
  using PageId = std::uint32_t;
  /// Names an entry of the index: never used again for another one. `root` is in front of every text.
  using Serial = std::uint64_t;
  static constexpr Serial root = 0;

  struct Hit {
    PageId page = 0;
    Serial serial = 0;
  };

  /// The page that holds exactly `tokens` (page_tokens of them) behind the entry `parent`.
  std::optional<Hit> find(Serial parent, std::span<const Token> tokens) const;

  /// Makes `page`, which must not be in the index, findable; where an equal entry is there already, that one
  /// stays and is returned.
  Hit add(Serial parent, std::span<const Token> tokens, PageId page);

  bool contains(PageId page) const { return entries_.count(page) != 0; }

  /// The last sequence that held the page, which is in the index, has let go of it.
  void set_idle(PageId page) noexcept;
  /// A sequence holds it again.
  void set_busy(PageId page) noexcept;

  /// Pages that no sequence holds.
  std::size_t idle_pages() const noexcept { return idle_.size(); }
  /// Forgets the idle page that was used longest ago and returns it; nullopt when none is idle.
  std::optional<PageId> take_oldest();

 private:
  struct Key {
    Serial parent = root;
    std::array<Token, page_tokens> tokens{};
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  struct Entry {
    const Key* key = nullptr;  // in by_key_
    Serial serial = 0;
    std::list<PageId>::iterator place;  // in busy_ or idle_
  };

  static Key key_of(Serial parent, std::span<const Token> tokens);

  Serial last_serial_ = root;
  std::unordered_map<Key, PageId, KeyHash> by_key_;
  std::unordered_map<PageId, Entry> entries_;
  std::list<PageId> busy_;
  std::list<PageId> idle_;  // oldest first
};

}  // namespace troupe
