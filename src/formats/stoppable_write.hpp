#pragma once
// Large files are written in pieces, so that who waits for one can be told to give up.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>

#include "base/atomic_file.hpp"
#include "base/try.hpp"

namespace troupe {

/// Errors: cancelled where stop() says so; an empty one never does.
inline Status unless_stopped(const std::function<bool()>& stop) {
  if (stop && stop()) return Error{Errc::cancelled, "writing the file was cancelled"};
  return {};
}

/// AtomicFile::write() that asks stop() before every 8 MiB. Errors: io, cancelled.
inline Status write_unless_stopped(AtomicFile& file, std::span<const std::byte> bytes,
                                   const std::function<bool()>& stop) {
  constexpr std::size_t piece_bytes = std::size_t{8} << 20;
  while (!bytes.empty()) {
    TROUPE_TRY_STATUS(unless_stopped(stop));
    const auto piece = bytes.first(std::min(piece_bytes, bytes.size()));
    TROUPE_TRY_STATUS(file.write(piece));
    bytes = bytes.subspan(piece.size());
  }
  return {};
}

}  // namespace troupe
