#pragma once
// The dice of a simulation: everything that is left to chance comes from here, and so from the seed.

#include <algorithm>
#include <cstdint>

#include "base/random.hpp"

namespace troupe::test {

/// Equal (seed, stream) give equal draws. One owner.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint64_t stream) : key_(seed * 0x9E3779B97F4A7C15U + stream) {}

  double uniform() { return uniform_at(key_, count_++); }
  bool chance(double probability) { return uniform() < probability; }
  /// In [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    const auto span = static_cast<double>(high - low + 1);
    return std::min(high, low + static_cast<std::uint64_t>(uniform() * span));
  }

 private:
  std::uint64_t key_;
  std::uint64_t count_ = 0;
};

}  // namespace troupe::test
