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

/// The file that writing to `path` would write: where symbolic links lead, also to a file that is not there.
/// An endless chain of them stays a link.
std::filesystem::path behind_links(std::filesystem::path path) {
  constexpr int links_max = 40;  // as the operating system has it
  std::error_code error;
  for (int i = 0; i < links_max && std::filesystem::is_symlink(path, error); ++i) {
    const std::filesystem::path link = std::filesystem::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / link;  // an absolute one stands alone
  }
  return path;
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  mode_t mode = 0666;
  struct stat info {};
  const bool exists = ::stat(path.c_str(), &info) == 0;
  if (!exists && errno != ENOENT) return io_error(path, "create", errno);
  if (exists) {
    if (!S_ISREG(info.st_mode)) {
      return Error{Errc::io,
                   "cannot write " + in_quotes(path.native()) + ": it exists and is no regular file"};
    }
    mode = info.st_mode & 0777U;
    // Renaming asks only for the folder. Whoever took away the last write permission meant root as well.
    if ((mode & 0222U) == 0) {
      return Error{Errc::io, "cannot write " + in_quotes(path.native()) + ": it is write-protected"};
    }
    if (::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) != 0) return io_error(path, "write", errno);
  }
  const std::filesystem::path target = behind_links(path);
  // The number keeps two writers of one process apart; O_EXCL keeps everybody apart.
  for (int attempt = 0; attempt < 100; ++attempt) {
    auto temporary = target;
    temporary += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(attempt);
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd >= 0) {
      // What the umask took off; file systems without modes refuse, and lose nothing.
      if (exists) static_cast<void>(::fchmod(fd, mode));
      return AtomicFile(path, target, std::move(temporary), fd);
    }
    if (errno != EEXIST) return io_error(path, "create", errno);
  }
  return io_error(path, "create a temporary file beside", EEXIST);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
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
  if (close_code == 0 && ::rename(temporary_.c_str(), target_.c_str()) == 0) return {};
  const int code = close_code != 0 ? close_code : errno;
  ::unlink(temporary_.c_str());
  return failed("write", code);
}

}  // namespace troupe
