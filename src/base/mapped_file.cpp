#include "base/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <string>
#include <system_error>

#include "base/utf8.hpp"

namespace troupe {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

Error io_error(const std::filesystem::path& path, const char* action, int code) {
  return {Errc::io, "cannot " + std::string(action) + " " + in_quotes(path.native()) + ": " +
                        std::generic_category().message(code)};
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer before it can be refused.
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return io_error(path, "open", errno);

  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return io_error(path, "examine", errno);
  if (S_ISDIR(info.st_mode)) return io_error(path, "open", EISDIR);
  if (!S_ISREG(info.st_mode)) {
    return Error{Errc::io,
                 "cannot map " + in_quotes(path.native()) + ": it is a pipe, socket or device, not a file"};
  }
  if (info.st_size == 0) return Error{Errc::bad_file, in_quotes(path.native()) + " is empty (0 bytes)"};
  if (static_cast<std::uintmax_t>(info.st_size) > std::numeric_limits<std::size_t>::max()) {
    return io_error(path, "map", EFBIG);
  }

  const auto size = static_cast<std::size_t>(info.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED && errno == ENOMEM) {
    return Error{Errc::too_large,
                 in_quotes(path.native()) + " has " + std::to_string(size) +
                     " bytes, more than this process may map into its address space; raise its limit "
                     "(ulimit -v)"};
  }
  if (data == MAP_FAILED) return io_error(path, "map", errno);
  return std::shared_ptr<const MappedFile>(new MappedFile(static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::will_read_sequentially() const noexcept {
  ::madvise(const_cast<std::byte*>(data_), size_, MADV_SEQUENTIAL);
}

void MappedFile::will_need_all() const noexcept {
  ::madvise(const_cast<std::byte*>(data_), size_, MADV_WILLNEED);
}

void MappedFile::let_go(std::span<const std::byte> bytes) const noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data());
  const auto file = reinterpret_cast<std::uintptr_t>(data_);
  if (begin < file || begin > file + size_ || bytes.size() > file + size_ - begin) return;
  // Whole pages only: their neighbours may be in use.
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = (begin + page - 1) / page * page;
  const std::uintptr_t end = (begin + bytes.size()) / page * page;
  if (first < end) ::madvise(const_cast<std::byte*>(data_) + (first - file), end - first, MADV_DONTNEED);
}

}  // namespace troupe
