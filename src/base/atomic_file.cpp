#include "base/atomic_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/check.hpp"
#include "base/utf8.hpp"

namespace troupe {
namespace {

Error io_error(const std::filesystem::path& path, const char* action, int code) {
  return {Errc::io, std::string("cannot ") + action + " " + in_quotes(path.native()) + ": " +
                        std::generic_category().message(code)};
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return Error{Errc::io, "cannot write " + in_quotes(path.native()) + ": it exists and is no regular file"};
  }
  // The number keeps two writers of one process apart; O_EXCL keeps everybody apart.
  for (int attempt = 0; attempt < 100; ++attempt) {
    auto temporary = path;
    temporary += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(attempt);
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0) return AtomicFile(path, std::move(temporary), fd);
    if (errno != EEXIST) return io_error(path, "create", errno);
  }
  return io_error(path, "create a temporary file beside", EEXIST);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile::~AtomicFile() {
  abandon();
}

void AtomicFile::abandon() noexcept {
  if (fd_ < 0) return;
  ::close(fd_);
  fd_ = -1;
  ::unlink(temporary_.c_str());
}

Error AtomicFile::failed(const char* action, int code) const {
  return io_error(path_, action, code);
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  TROUPE_CHECK(fd_ >= 0);
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return failed("write", errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Status AtomicFile::commit() {
  TROUPE_CHECK(fd_ >= 0);
  if (::fsync(fd_) != 0) {
    const int code = errno;
    abandon();
    return failed("flush", code);
  }
  const int close_code = ::close(std::exchange(fd_, -1)) == 0 ? 0 : errno;
  if (close_code == 0 && ::rename(temporary_.c_str(), path_.c_str()) == 0) return {};
  const int code = close_code != 0 ? close_code : errno;
  ::unlink(temporary_.c_str());
  return failed("write", code);
}

}  // namespace troupe
