#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "troupe/error.hpp"

namespace troupe {

/// A whole file mapped read-only into memory. The file may be deleted or replaced (renamed over) while it
/// is mapped; a process that shortens it in place takes pages away, and touching those raises SIGBUS, as
/// with every mapping. Immutable, so it may be read from any number of threads. Unmapped on destruction.
class MappedFile {
 public:
  /// Opens and maps `path`. Never blocks on a pipe or device. Errors: io (naming the path and the operating
  /// system's reason) when it cannot be opened or is no regular file, bad_file when it is empty.
  static Result<std::shared_ptr<const MappedFile>> open(const std::filesystem::path& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// The file's bytes; begins on a page boundary; valid as long as this object.
  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }

  /// Hints to the operating system; they change when pages are read, never what is read.
  void will_read_sequentially() const noexcept;
  void will_need_all() const noexcept;

  /// The same for bytes that are not needed soon: their pages no longer count as this process's memory, and
  /// are read again if they are touched again. Bytes outside of this file are left alone.
  void let_go(std::span<const std::byte> bytes) const noexcept;

 private:
  MappedFile(const std::byte* data, std::size_t size) noexcept : data_(data), size_(size) {}

  const std::byte* data_;
  std::size_t size_;
};

}  // namespace troupe
