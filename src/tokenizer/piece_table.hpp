#pragma once
// From the bytes of a piece to its number.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace troupe {

/// A hash table made for one look-up per word of a text: pieces of up to 16 bytes, which are nearly all, lie
/// in the table itself. Refers to the bytes of the longer ones, which its owner keeps. Immutable once filled,
/// so safe from any number of threads.
class PieceTable {
 public:
  /// Grows where there are more than `pieces` in the end.
  explicit PieceTable(std::size_t pieces);

  /// `piece` is not empty. Of equal pieces the last one inserted stays.
  void insert(std::string_view piece, std::uint32_t number);

  /// Null where there is no such piece.
  const std::uint32_t* find(std::string_view piece) const noexcept;

 private:
  /// Of a short piece: its bytes, first and last eight (they overlap below 16, the size tells how).
  /// Of a longer one: its hash and its address.
  struct Key {
    std::uint64_t low = 0, high = 0;
    std::uint32_t bytes = 0;  // 0: an empty slot
  };

  struct Slot {
    Key key;
    std::uint32_t number = 0;
  };
  static_assert(sizeof(Slot) == 32);

  static Key key_of(std::string_view piece) noexcept;
  static bool is_short(const Key& key) noexcept;
  static bool equal(const Key& a, const Key& b) noexcept;
  std::size_t slot_of(const Key& key) const noexcept;

  std::vector<Slot>
      slots_;  // a power of two of them, at most three quarters of them full, found by linear probing
  std::size_t used_ = 0;
};

}  // namespace troupe
