#pragma once
// The largest values of a long row: which tokens a sampler may choose from.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace troupe {

struct IndexedValue {
  std::int32_t index = 0;
  float value = 0;

  friend bool operator==(const IndexedValue&, const IndexedValue&) = default;
};

/// Values to a block. Of a large vocabulary's row there are then some hundred blocks: few enough to rank, and
/// the largest values lie in few of them.
inline constexpr std::size_t maxima_block = 128;

constexpr std::size_t maxima_blocks(std::size_t n) {
  return (n + maxima_block - 1) / maxima_block;
}

/// maxima[b] = the largest of block b of `values`, -infinity where nothing is larger. NaN counts as
/// -infinity. maxima: [maxima_blocks(values.size())].
void block_maxima(std::span<const float> values, float* maxima);

/// Replaces `top` by the `count` largest of `values`, of equal ones those in front, in the order of their
/// indices; fewer where fewer are above -infinity. NaN counts as -infinity. `maxima`: what block_maxima()
/// made of `values`. Meant for a `count` well below the number of blocks: looks at few more blocks than that.
/// Throws std::bad_alloc, unless `top` has room for top_values_room() values.
void top_values(std::span<const float> values, std::span<const float> maxima, std::size_t count,
                std::vector<IndexedValue>& top);

/// The most that top_values() has in hand on its way to `count` values of `n`.
constexpr std::size_t top_values_room(std::size_t n, std::size_t count) {
  const std::size_t found = count < n / (maxima_block + 1) ? count * (maxima_block + 1) : n;
  return found < maxima_blocks(n) ? maxima_blocks(n) : found;
}

/// Leaves the `count` largest, of equal ones those with the lower index, in the order of their indices.
void keep_largest(std::vector<IndexedValue>& values, std::size_t count);

}  // namespace troupe
