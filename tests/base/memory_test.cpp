#include "base/memory.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "base/mapped_file.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temporary_folder.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::uint64_t mebibyte = 1U << 20;

/// Field `index` of /proc/self/statm, in bytes: 0 the address space, 2 resident pages of files, 5 data.
std::uint64_t mapped_bytes(int index) {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t value = 0;
  for (int i = 0; i <= index; ++i) statm >> value;
  REQUIRE(statm);
  return value * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_CASE("usable memory is at most what the process's limits leave", "[base]") {
  const auto limited = [](auto resource, int field) {
    rlimit before{};
    REQUIRE(getrlimit(resource, &before) == 0);
    rlimit limit = before;
    limit.rlim_cur = mapped_bytes(field) + 64 * mebibyte;
    REQUIRE(setrlimit(resource, &limit) == 0);
    const std::uint64_t usable = usable_memory_bytes();
    REQUIRE(setrlimit(resource, &before) == 0);
    return usable;
  };
  const std::uint64_t unlimited = usable_memory_bytes();
  CHECK(unlimited > 0);
  for (const std::uint64_t usable : {limited(RLIMIT_AS, 0), limited(RLIMIT_DATA, 5)}) {
    CHECK(usable <= 65 * mebibyte);
    CHECK((usable > 32 * mebibyte || unlimited < 64 * mebibyte));
  }
}

TEST_CASE("pages of a file that were let go of are no longer the process's memory", "[base]") {
  const TemporaryFolder folder;
  const auto file = MappedFile::open(folder.file("big", std::string(32 * mebibyte, 'x')));
  REQUIRE(file);
  const auto bytes = (*file)->bytes();
  const auto touch = [&] {
    std::size_t found = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 4096) found += bytes[i] == std::byte{'x'} ? 1 : 0;
    return found;
  };
  REQUIRE(touch() == 8192);
  const std::uint64_t touched = mapped_bytes(2);
  (*file)->let_go(bytes.subspan(100, 24 * mebibyte));
  CHECK(mapped_bytes(2) + 20 * mebibyte < touched);
  CHECK(touch() == 8192);  // and are there again
}
