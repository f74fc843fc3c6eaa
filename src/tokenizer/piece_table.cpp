#include "tokenizer/piece_table.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace troupe {
namespace {

std::uint32_t hash_of(std::string_view bytes) noexcept {
  std::uint64_t hash = bytes.size();
  const auto mix = [&](std::uint64_t value) {
    hash = (hash ^ value) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 32;
  };
  std::uint64_t value = 0;
  for (; bytes.size() > 8; bytes.remove_prefix(8)) {
    std::memcpy(&value, bytes.data(), 8);
    mix(value);
  }
  value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  mix(value);
  return static_cast<std::uint32_t>(hash);
}

}  // namespace

PieceTable::PieceTable(std::size_t pieces) : slots_(std::bit_ceil(std::max<std::size_t>(2 * pieces, 2))) {}

std::size_t PieceTable::slot_of(std::string_view piece, std::uint32_t hash) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = hash & mask;
  while (slots_[at].piece.data() != nullptr && (slots_[at].hash != hash || slots_[at].piece != piece)) {
    at = (at + 1) & mask;
  }
  return at;
}

void PieceTable::insert(std::string_view piece, std::uint32_t number) {
  if (2 * (used_ + 1) > slots_.size()) {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
    for (const Slot& slot : old) {
      if (slot.piece.data() != nullptr) slots_[slot_of(slot.piece, slot.hash)] = slot;
    }
  }
  const std::uint32_t hash = hash_of(piece);
  Slot& slot = slots_[slot_of(piece, hash)];
  if (slot.piece.data() == nullptr) ++used_;
  slot = {hash, number, piece};
}

const std::uint32_t* PieceTable::find(std::string_view piece) const noexcept {
  const Slot& slot = slots_[slot_of(piece, hash_of(piece))];
  return slot.piece.data() == nullptr ? nullptr : &slot.number;
}

}  // namespace troupe
