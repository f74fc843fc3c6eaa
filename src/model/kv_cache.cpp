#include "model/kv_cache.hpp"

#include <algorithm>

#include "base/check.hpp"

namespace troupe {

KvCache::KvCache(const ModelConfig& config, KvType type, std::size_t pages_max)
    : pages_max_(pages_max), page_bytes_(page_bytes(config, type)) {
  const std::size_t part = page_part_bytes(config.kv_heads, config.head_dim, type);
  layers_.reserve(config.layers);
  for (std::size_t i = 0; i < config.layers; ++i) {
    AttentionLayer layer;
    layer.heads = config.heads;
    layer.kv_heads = config.kv_heads;
    layer.head_dim = config.head_dim;
    layer.scale = config.attention_scale;
    layer.softcap = config.attention_softcap;
    layer.kv_type = type;
    layer.k_offset = 2 * i * part;
    layer.v_offset = (2 * i + 1) * part;
    layers_.push_back(layer);
  }
}

std::size_t KvCache::page_bytes(const ModelConfig& config, KvType type) noexcept {
  return 2 * config.layers * page_part_bytes(config.kv_heads, config.head_dim, type);
}

bool KvCache::open(SequenceId id, std::size_t promised) {
  TROUPE_CHECK(!contains(id));
  const std::size_t pages = pages_for(promised);
  if (pages > pages_available()) return false;
  promised_ += pages;
  sequences_[id].pages_promised = pages;
  return true;
}

void KvCache::close(SequenceId id) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return;
  // From the end: of what nobody holds, the beginnings of texts are to be kept longest.
  const auto& pages = found->second.page_ids;
  for (auto page = pages.rbegin(); page != pages.rend(); ++page) let_go(*page);
  promised_ -= promised_left(found->second);
  sequences_.erase(found);
}

void KvCache::append(SequenceId id, std::size_t count) {
  Sequence& sequence = at(id);
  TROUPE_CHECK(pages_missing(id, count) <= pages_available());
  const std::size_t needed = pages_for(sequence.length + count);
  // What may throw comes first: a page that is taken is also noted down.
  sequence.page_ids.reserve(needed);
  sequence.addresses.reserve(needed);
  while (sequence.page_ids.size() < needed) take_page(sequence);
  sequence.length += count;
}

void KvCache::truncate(SequenceId id, std::size_t length) {
  Sequence& sequence = at(id);
  TROUPE_CHECK(length <= sequence.length && length >= sequence.tokens.size());
  while (sequence.page_ids.size() > pages_for(length)) {
    let_go(sequence.page_ids.back());
    sequence.page_ids.pop_back();
    sequence.addresses.pop_back();
    if (promised_left(sequence) != 0) ++promised_;
  }
  sequence.length = length;
}

std::size_t KvCache::pages_missing(SequenceId id, std::size_t count) const {
  const Sequence& sequence = at(id);
  const std::size_t needed = pages_for(sequence.length + count);
  const std::size_t had = sequence.page_ids.size() + promised_left(sequence);
  return needed > had ? needed - had : 0;
}

std::size_t KvCache::reuse_prefix(SequenceId id, std::span<const Token> tokens) {
  Sequence& sequence = at(id);
  TROUPE_CHECK(sequence.length == 0 && sequence.page_ids.empty());
  // What may throw comes first, so that the lists of pages stay alike; all of it will be needed.
  sequence.tokens.reserve(tokens.size());
  sequence.page_ids.reserve(pages_for(tokens.size()));
  sequence.addresses.reserve(pages_for(tokens.size()));
  while (tokens.size() - sequence.length > page_tokens) {
    const auto page = tokens.subspan(sequence.length, page_tokens);
    const auto hit = index_.find(sequence.known, page);
    if (!hit) break;
    // One that nobody holds is as good as free: others may have been promised it.
    const bool promised = promised_left(sequence) != 0;
    if (!promised && pages_[hit->page].sequences == 0 && pages_available() == 0) break;
    sequence.tokens.insert(sequence.tokens.end(), page.begin(), page.end());
    sequence.addresses.push_back(pages_[hit->page].memory.data());
    sequence.page_ids.push_back(hit->page);
    hold(hit->page);
    if (promised) --promised_;
    sequence.length += page_tokens;
    sequence.known = hit->serial;
  }
  return sequence.length;
}

void KvCache::remember(SequenceId id, std::span<const Token> tokens) {
  Sequence& sequence = at(id);
  TROUPE_CHECK(sequence.tokens.size() + tokens.size() <= sequence.length);
  std::size_t page = sequence.tokens.size() / page_tokens;
  sequence.tokens.insert(sequence.tokens.end(), tokens.begin(), tokens.end());
  for (; (page + 1) * page_tokens <= sequence.tokens.size(); ++page) {
    const auto filled = std::span(sequence.tokens).subspan(page * page_tokens, page_tokens);
    // Where others have computed the same page meanwhile theirs stays the known one; its bits are the same.
    sequence.known = index_.add(sequence.known, filled, sequence.page_ids[page]).serial;
  }
}

std::size_t KvCache::promised_left(const Sequence& sequence) {
  return sequence.pages_promised - std::min(sequence.pages_promised, sequence.page_ids.size());
}

void KvCache::hold(std::uint32_t page) {
  if (pages_[page].sequences++ != 0) return;
  ++used_;
  if (index_.contains(page)) index_.set_busy(page);
}

void KvCache::let_go(std::uint32_t page) {
  if (--pages_[page].sequences != 0) return;
  --used_;
  if (index_.contains(page))
    index_.set_idle(page);
  else
    free_.push_back(page);
}

/// Makes sure that a page is free: a fresh one as long as there may be more, else the one that was kept
/// longest.
void KvCache::reserve_page() {
  if (!free_.empty()) return;
  if (pages_.size() == pages_max_) {
    free_.reserve(pages_.size());
    free_.push_back(index_.take_oldest().value());
    return;
  }
  Page page;
  page.memory.resize(page_bytes_);
  free_.reserve(pages_.size() + 1);
  pages_.push_back(std::move(page));
  free_.push_back(static_cast<std::uint32_t>(pages_.size() - 1));
}

void KvCache::take_page(Sequence& sequence) {
  reserve_page();
  const std::uint32_t id = free_.back();
  free_.pop_back();
  hold(id);
  if (promised_left(sequence) != 0) --promised_;
  sequence.page_ids.push_back(id);
  sequence.addresses.push_back(pages_[id].memory.data());
}

const KvCache::Sequence& KvCache::at(SequenceId id) const {
  const auto found = sequences_.find(id);
  TROUPE_CHECK(found != sequences_.end());
  return found->second;
}

KvCache::Sequence& KvCache::at(SequenceId id) {
  return const_cast<Sequence&>(std::as_const(*this).at(id));
}

}  // namespace troupe
