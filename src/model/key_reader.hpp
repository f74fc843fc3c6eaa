#pragma once
// Typed and checked reads of one architecture's keys, "<architecture>.<name>".

#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/try.hpp"
#include "formats/checkpoint.hpp"

namespace troupe {

/// Refers to the metadata, which must outlive it. Every error is bad_file and names the key and its value.
class KeyReader {
 public:
  /// Far beyond any real model. A dimension is bounded by itself, because scratch memory grows with it, not
  /// only with the file.
  static constexpr std::uint64_t dimension_max = 1U << 20;

  KeyReader(const Metadata& metadata, std::string architecture)
      : metadata_(metadata), prefix_(std::move(architecture) + ".") {}

  std::string key(const char* name) const { return prefix_ + name; }
  bool has(const char* name) const { return metadata_.contains(key(name)); }
  const Metadata& metadata() const { return metadata_; }

  /// A dimension: present, at least 1, at most `max`. An array, one entry per layer, if all of them are
  /// alike.
  Result<std::uint32_t> dimension(const char* name, std::uint64_t max = dimension_max) const;
  Result<std::uint32_t> dimension_or(const char* name, std::uint32_t fallback) const;
  /// The same, where 0 is allowed and stands for "none".
  Result<std::uint32_t> count_or(const char* name, std::uint32_t fallback, std::uint64_t max) const;

  /// A positive finite number.
  Result<double> positive_or(const char* name, double fallback) const;
  /// A finite number, 0 or more.
  Result<double> number_or(const char* name, double fallback) const;
  /// An array of integers or booleans, which is there.
  Result<std::vector<std::int64_t>> integers(const char* name) const;
  bool is_array(const char* name) const;
  Result<bool> flag_or(const char* name, bool fallback) const;

 private:
  Result<std::uint64_t> number(const char* name) const;

  const Metadata& metadata_;
  std::string prefix_;
};

}  // namespace troupe
