#pragma once
// The kind of every character there is, from the Unicode Character Database.

#include <span>

#include "tokenizer/characters.hpp"

namespace troupe {

/// All characters from `first` to the next entry's are of `kind`.
struct KindsFrom {
  char32_t first;
  CharKinds kind;
};

/// In ascending order, the first from U+0000. Unicode 15.1, as llama.cpp's: ids must not depend on which
/// library of Unicode a machine has.
std::span<const KindsFrom> kinds_by_range() noexcept;

}  // namespace troupe
