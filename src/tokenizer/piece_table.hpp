#pragma once
// From the bytes of a piece to its number.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace troupe {

/// A hash table made for one look-up per word of a text. Refers to the pieces' bytes, which its owner keeps.
/// Immutable once filled, so safe from any number of threads.
class PieceTable {
 public:
  /// Grows where there are more than `pieces` in the end.
  explicit PieceTable(std::size_t pieces);

  /// Of equal pieces the last one inserted stays.
  void insert(std::string_view piece, std::uint32_t number);

  /// Null where there is no such piece.
  const std::uint32_t* find(std::string_view piece) const noexcept;

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t number = 0;
    std::string_view piece;  // data() null: empty
  };

  std::size_t slot_of(std::string_view piece, std::uint32_t hash) const noexcept;

  std::size_t used_ = 0;
  std::vector<Slot> slots_;  // a power of two of them, at most half of them full, found by linear probing
};

}  // namespace troupe
