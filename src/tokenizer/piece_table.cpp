#include "tokenizer/piece_table.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.hpp"

namespace troupe {
namespace {

constexpr std::uint64_t odd = 0x9E3779B97F4A7C15U;  // 2^64 / golden ratio: spreads over the upper bits
constexpr std::size_t short_bytes_max = 16;

template <class Number>
std::uint64_t read(const char* bytes) noexcept {
  Number number;
  std::memcpy(&number, bytes, sizeof number);
  return number;
}

std::uint64_t hash_of(std::string_view bytes) noexcept {
  std::uint64_t hash = bytes.size();
  const auto mix = [&](std::uint64_t value) {
    hash = (hash ^ value) * odd;
    hash ^= hash >> 32;
  };
  for (std::size_t at = 0; at + 8 < bytes.size(); at += 8) mix(read<std::uint64_t>(bytes.data() + at));
  mix(read<std::uint64_t>(bytes.data() + bytes.size() - 8));
  return hash;
}

}  // namespace

PieceTable::Key PieceTable::key_of(std::string_view piece) noexcept {
  const char* first = piece.data();
  const std::size_t n = piece.size();
  const auto bytes = static_cast<std::uint32_t>(n);
  if (n > short_bytes_max) return {hash_of(piece), reinterpret_cast<std::uintptr_t>(first), bytes};
  if (n >= 8) return {read<std::uint64_t>(first), read<std::uint64_t>(first + n - 8), bytes};
  if (n >= 4) return {read<std::uint32_t>(first), read<std::uint32_t>(first + n - 4), bytes};
  const auto at = [&](std::size_t i) { return std::uint64_t{static_cast<unsigned char>(first[i])}; };
  return {at(0) | at(n / 2) << 8 | at(n - 1) << 16, 0, bytes};
}

bool PieceTable::is_short(const Key& key) noexcept {
  return key.bytes <= short_bytes_max;
}

bool PieceTable::equal(const Key& a, const Key& b) noexcept {
  if (a.low != b.low || a.bytes != b.bytes) return false;
  if (is_short(a)) return a.high == b.high;
  const auto address = [](const Key& key) {
    return reinterpret_cast<const char*>(static_cast<std::uintptr_t>(key.high));
  };
  return std::memcmp(address(a), address(b), a.bytes) == 0;
}

std::size_t PieceTable::slot_of(const Key& key) const noexcept {
  std::uint64_t hash = (key.low ^ key.bytes) * odd;
  if (is_short(key)) hash = (hash ^ hash >> 32 ^ key.high) * odd;
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = (hash >> 32) & mask;
  while (slots_[at].key.bytes != 0 && !equal(slots_[at].key, key)) at = (at + 1) & mask;
  return at;
}

PieceTable::PieceTable(std::size_t pieces) : slots_(std::bit_ceil(pieces / 3 * 4 + 4)) {}

void PieceTable::insert(std::string_view piece, std::uint32_t number) {
  TROUPE_CHECK(!piece.empty());
  if (4 * (used_ + 1) > 3 * slots_.size()) {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
    for (const Slot& slot : old) {
      if (slot.key.bytes != 0) slots_[slot_of(slot.key)] = slot;
    }
  }
  const Key key = key_of(piece);
  Slot& slot = slots_[slot_of(key)];
  if (slot.key.bytes == 0) ++used_;
  slot = {key, number};
}

const std::uint32_t* PieceTable::find(std::string_view piece) const noexcept {
  const Slot& slot = slots_[slot_of(key_of(piece))];
  return slot.key.bytes == 0 ? nullptr : &slot.number;
}

}  // namespace troupe
