#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/byte_reader.hpp"
#include "base/utf8.hpp"
#include "troupe/error.hpp"

namespace troupe {

/// A ByteReader over a whole file that can say what is wrong with it: each error is one line that names
/// the file, the field, its value and the file's size. Views the bytes and the name; not thread-safe.
class FieldReader : public ByteReader {
 public:
  FieldReader(std::span<const std::byte> file, std::string_view name) noexcept
      : ByteReader(file), file_(file), name_(name) {}

  std::span<const std::byte> file() const noexcept { return file_; }

  Error error(Errc code, std::string_view what) const {
    std::string message = in_quotes(name_);
    message.append(": ").append(what);
    message.append(" (file size ").append(std::to_string(file_.size())).append(" bytes)");
    return {code, std::move(message)};
  }
  Error bad(std::string_view what) const { return error(Errc::bad_file, what); }

  /// For a read() that failed: the file is too short for `field`.
  Error ends_in(std::string_view field) const {
    std::string what = "the file ends within ";
    what.append(field).append(" at byte ").append(std::to_string(offset()));
    return bad(what);
  }

  /// Refuses a count that the rest of the file cannot hold, when each entry takes `entry_bytes_min` or more.
  Status check_count(std::string_view field, std::uint64_t count, std::uint64_t entry_bytes_min) const {
    if (count <= remaining() / entry_bytes_min) return {};
    std::string what(field);
    what.append(" is ")
        .append(std::to_string(count))
        .append(", but only ")
        .append(std::to_string(remaining()));
    what.append(" bytes follow, and each takes ").append(std::to_string(entry_bytes_min)).append(" or more");
    return bad(what);
  }

 private:
  std::span<const std::byte> file_;
  std::string_view name_;
};

}  // namespace troupe
