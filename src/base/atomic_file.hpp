#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "troupe/error.hpp"

namespace troupe {

/// A file that appears whole or not at all: written under a temporary name in the same folder, flushed to
/// disk and renamed over `path` by commit(), or over the file that `path` is a symbolic link to; an older
/// file hands on its permissions. Destroyed without commit(), it leaves nothing behind and an older file
/// untouched. One writer, not thread-safe; move-only.
class AtomicFile {
 public:
  /// Errors: io, naming the path and the operating system's reason; also when `path` exists and is no
  /// regular file, or is write-protected.
  static Result<AtomicFile> create(const std::filesystem::path& path);

  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  /// Appends. Buffered by the operating system only, so write large pieces. Errors: io.
  Status write(std::span<const std::byte> bytes);
  Status write(std::string_view text) { return write(std::as_bytes(std::span(text))); }

  /// Makes the file appear. Nothing can be written afterwards. Errors: io; nothing is left behind then.
  Status commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path target, std::filesystem::path temporary,
             int fd) noexcept
      : path_(std::move(path)), target_(std::move(target)), temporary_(std::move(temporary)), fd_(fd) {}
  Error failed(const char* action, int code) const;
  void abandon() noexcept;

  std::filesystem::path path_;    // as errors have it
  std::filesystem::path target_;  // behind symbolic links
  std::filesystem::path temporary_;
  int fd_;  // -1 once committed, abandoned or moved from
};

}  // namespace troupe
