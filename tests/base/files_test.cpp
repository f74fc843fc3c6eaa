// Files that are mapped and files that appear whole or not at all.

#include <sys/stat.h>

#include <cstring>

#include "base/atomic_file.hpp"
#include "base/mapped_file.hpp"
#include "base/try.hpp"
#include "tests/support/check_has.hpp"
#include "tests/support/temporary_folder.hpp"

namespace troupe {
namespace {

using test::TemporaryFolder;

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator()));
}

TEST_CASE("a mapped file shows the file's bytes", "[base]") {
  const TemporaryFolder folder;
  const auto file = MappedFile::open(folder.file("a", std::string_view("hello\0world", 11)));
  REQUIRE(file);
  (*file)->will_need_all();
  (*file)->will_read_sequentially();
  REQUIRE((*file)->bytes().size() == 11);
  CHECK(std::memcmp((*file)->bytes().data(), "hello\0world", 11) == 0);
}

TEST_CASE("a mapping outlives its file's name", "[base]") {
  const TemporaryFolder folder;
  const auto path = folder.file("a", "kept");
  const auto file = MappedFile::open(path);
  std::filesystem::remove(path);
  REQUIRE(file);
  CHECK(std::memcmp((*file)->bytes().data(), "kept", 4) == 0);
}

TEST_CASE("what cannot be mapped is refused by name and reason", "[base]") {
  const TemporaryFolder folder;
  const auto missing = MappedFile::open(folder.path() / "missing.gguf");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::io);
  CHECK_HAS(missing.error().message, "missing.gguf");
  CHECK_HAS(missing.error().message, "No such file");

  const auto directory = MappedFile::open(folder.path());
  REQUIRE_FALSE(directory);
  CHECK(directory.error().code == Errc::io);
  CHECK_HAS(directory.error().message, "Is a directory");

  const auto empty = MappedFile::open(folder.file("empty", ""));
  REQUIRE_FALSE(empty);
  CHECK(empty.error().code == Errc::bad_file);
  CHECK_HAS(empty.error().message, "is empty");

  const auto device = MappedFile::open("/dev/null");
  REQUIRE_FALSE(device);
  CHECK(device.error().code == Errc::io);
}

TEST_CASE("opening a pipe without a writer fails instead of waiting", "[base]") {
  const TemporaryFolder folder;
  const auto path = folder.path() / "pipe";
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  const auto pipe = MappedFile::open(path);
  REQUIRE_FALSE(pipe);
  CHECK_HAS(pipe.error().message, "pipe");
}

TEST_CASE("a hostile file name stays on one line of the error", "[base]") {
  const auto missing = MappedFile::open("/nowhere/\x1b[31mred\nline");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().message.find('\n') == std::string::npos);
  CHECK(missing.error().message.find('\x1b') == std::string::npos);
}

TEST_CASE("an atomic file appears at commit and replaces the old one", "[base]") {
  const TemporaryFolder folder;
  const auto path = folder.file("model", "old");
  auto file = AtomicFile::create(path);
  REQUIRE(file);
  REQUIRE(file->write("new "));
  REQUIRE(file->write("content"));
  CHECK(TemporaryFolder::read(path) == "old");
  REQUIRE(file->commit());
  CHECK(TemporaryFolder::read(path) == "new content");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("an atomic file that is not committed leaves nothing behind", "[base]") {
  const TemporaryFolder folder;
  {
    auto file = AtomicFile::create(folder.path() / "model");
    REQUIRE(file);
    REQUIRE(file->write("half"));
    AtomicFile moved = *std::move(file);
    CHECK(entries(folder.path()) == 1);
  }
  CHECK(entries(folder.path()) == 0);
}

TEST_CASE("two atomic files of one name do not disturb each other", "[base]") {
  const TemporaryFolder folder;
  auto first = AtomicFile::create(folder.path() / "model");
  auto second = AtomicFile::create(folder.path() / "model");
  REQUIRE(first);
  REQUIRE(second);
  REQUIRE(first->write("first"));
  REQUIRE(second->write("second"));
  REQUIRE(second->commit());
  REQUIRE(first->commit());
  CHECK(TemporaryFolder::read(folder.path() / "model") == "first");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("an atomic file cannot be made where it cannot be renamed to", "[base]") {
  const TemporaryFolder folder;
  const auto nowhere = AtomicFile::create(folder.path() / "no" / "model");
  REQUIRE_FALSE(nowhere);
  CHECK(nowhere.error().code == Errc::io);
  CHECK_HAS(nowhere.error().message, "No such file");
  const auto device = AtomicFile::create("/dev/null");
  REQUIRE_FALSE(device);
  CHECK_HAS(device.error().message, "no regular file");
  CHECK_FALSE(AtomicFile::create(folder.path()));
}

Status write_file(const std::filesystem::path& path, std::string_view text) {
  TROUPE_TRY(AtomicFile file, AtomicFile::create(path));
  TROUPE_TRY_STATUS(file.write(text));
  return file.commit();
}

TEST_CASE("an atomic file goes where symbolic links lead and leaves them", "[base]") {
  namespace fs = std::filesystem;
  const TemporaryFolder folder;
  const TemporaryFolder elsewhere;
  const auto model = elsewhere.file("model", "old");
  fs::create_symlink(model, folder.path() / "absolute");
  fs::create_symlink("absolute", folder.path() / "relative");
  fs::create_symlink(elsewhere.path() / "none yet", folder.path() / "dangling");
  fs::create_symlink("loop", folder.path() / "loop");
  REQUIRE(write_file(folder.path() / "relative", "new"));
  CHECK(fs::is_symlink(folder.path() / "relative"));
  CHECK(fs::is_symlink(folder.path() / "absolute"));
  CHECK(TemporaryFolder::read(model) == "new");
  REQUIRE(write_file(folder.path() / "dangling", "first"));
  CHECK(fs::is_symlink(folder.path() / "dangling"));
  CHECK(TemporaryFolder::read(elsewhere.path() / "none yet") == "first");
  const Status looped = write_file(folder.path() / "loop", "lost");
  REQUIRE_FALSE(looped);
  CHECK_HAS(looped.error().message, "loop");
  CHECK(entries(folder.path()) == 4);
  CHECK(entries(elsewhere.path()) == 2);
}

TEST_CASE("an atomic file keeps the permissions of the one it replaces", "[base]") {
  const TemporaryFolder folder;
  const auto path = folder.file("model", "old");
  for (const mode_t mode : {0600U, 0666U, 0755U}) {
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    REQUIRE(write_file(path, "new"));
    struct stat info {};
    REQUIRE(::stat(path.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777U) == mode);
  }
}

TEST_CASE("an atomic file replaces nothing that is write-protected", "[base]") {
  const TemporaryFolder folder;
  const auto path = folder.file("model", "old");
  REQUIRE(::chmod(path.c_str(), 0444) == 0);
  const Status status = write_file(path, "new");
  REQUIRE_FALSE(status);
  CHECK(status.error().code == Errc::io);
  CHECK_HAS(status.error().message, "write-protected");
  CHECK(TemporaryFolder::read(path) == "old");
}

}  // namespace
}  // namespace troupe
