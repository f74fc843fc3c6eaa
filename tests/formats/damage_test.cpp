// Files cut off at every length and files with random bytes changed: an error or a checkpoint, never a crash.
// What a reader accepts is then used: every tensor byte is read and everything is described.

#include <cstring>
#include <memory>
#include <random>

#include "base/utf8.hpp"
#include "formats/describe.hpp"
#include "formats/gguf.hpp"
#include "formats/gguf_writer.hpp"
#include "formats/llama2c.hpp"
#include "formats/smnd.hpp"
#include "tests/formats/allocation_meter.hpp"
#include "tests/formats/raw_file.hpp"
#include "tests/support/catch.hpp"

namespace troupe {
namespace {

using namespace test;

// A block of its own of exactly the file's size, so that a sanitizer sees the first byte read too many.
class Exact {
 public:
  explicit Exact(std::string_view file) : size_(file.size()), data_(new std::byte[file.size()]) {
    std::memcpy(data_.get(), file.data(), file.size());
  }
  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte[]> data_;
};

std::uint64_t use(const Checkpoint& checkpoint) {
  std::uint64_t sum = describe(checkpoint, true).size() + describe_json(checkpoint, true).size();
  for (const TensorView& tensor : checkpoint.tensors) {
    for (const std::byte b : tensor.data) sum += static_cast<std::uint64_t>(b);
  }
  return sum;
}

bool is_one_clean_line(const std::string& message) {
  if (message.empty() || !is_valid_utf8(message)) return false;
  for (const char c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return false;
  }
  return true;
}

std::string small_gguf() {
  RawGguf file;
  file.metadata = {entry("general.architecture", 8, text("llama")),
                   entry_u32("general.alignment", 32),
                   entry("f", 6, raw(1.5F)),
                   entry("b", 7, "\x01"),
                   entry_array("tokenizer.ggml.tokens", 8, 3, text("<unk>") + text("") + text("▁a")),
                   entry_array("tokenizer.ggml.scores", 6, 3, raw(0.0F) + raw(-1.0F) + raw(-2.0F)),
                   entry_array("bytes", 0, 5, "12345"),
                   entry("split.count", 2, std::string("\x01\0", 2))};
  file.tensors = {info("a", {8, 3}, 0, 0), info("b", {32}, 8, 96), info("c", {4, 2, 1, 2}, 1, 160)};
  file.data.resize(160 + 32, '\x02');
  return file.bytes();
}

// Calls `read` with `rounds` damaged copies of `file`; it returns whether it accepted one.
template <class Read>
std::size_t mutate(const std::string& file, std::uint64_t seed, int rounds, const Read& read) {
  std::mt19937_64 random(seed);
  std::size_t accepted = 0;
  for (int round = 0; round < rounds; ++round) {
    std::string damaged = file;
    const std::uint64_t changes = 1 + random() % 6;
    for (std::uint64_t i = 0; i < changes; ++i) {
      constexpr unsigned char extremes[] = {0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF};
      const std::uint64_t kind = random() % 4;
      const std::size_t at = random() % damaged.size();
      if (kind == 0) {
        damaged[at] = static_cast<char>(random());
      } else if (kind == 1) {
        damaged[at] = static_cast<char>(extremes[random() % std::size(extremes)]);
      } else if (kind == 2) {  // a whole field at an extreme
        const std::size_t length = std::min<std::size_t>(random() % 2 == 0 ? 4 : 8, damaged.size() - at);
        std::memset(damaged.data() + at, random() % 2 == 0 ? 0xFF : 0x00, length);
      } else {
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << (random() % 8)));
      }
    }
    if (random() % 8 == 0) damaged.resize(random() % damaged.size());
    if (damaged.empty()) continue;
    INFO("seed " << seed << ", round " << round);
    const Exact exact(damaged);
    const AllocationMeter meter;
    const Result<Checkpoint> result = read(exact.bytes());
    const std::size_t peak = meter.peak_bytes();
    if (peak > 32 * damaged.size() + 16384) FAIL(peak << " bytes for a file of " << damaged.size());
    if (result) {
      ++accepted;
      if (use(*result) == 0) FAIL("nothing in it");
    } else if (!is_one_clean_line(result.error().message)) {
      FAIL(result.error().message);
    }
  }
  return accepted;
}

TEST_CASE("a GGUF file cut off at any length is refused", "[formats]") {
  const std::string file = small_gguf();
  const auto whole = read_gguf(as_bytes(file), "x", nullptr);
  if (!whole) FAIL(whole.error().message);
  for (std::size_t length = 0; length < file.size(); ++length) {
    const Exact exact(std::string_view(file).substr(0, length));
    const auto result = read_gguf(exact.bytes(), "x", nullptr);
    if (result) FAIL("accepted with " << length << " of " << file.size() << " bytes");
    if (!is_one_clean_line(result.error().message)) FAIL(result.error().message);
  }
}

TEST_CASE("random damage to a GGUF file is refused or harmless", "[formats]") {
  const std::string file = small_gguf();
  const std::size_t accepted =
      mutate(file, 1, 30000, [](auto bytes) { return read_gguf(bytes, "x", nullptr); });
  // Damage to weights, values and names cannot be seen; damage to structure must be.
  CHECK(accepted > 1000);
  CHECK(accepted < 25000);
}

TEST_CASE("a llama2.c checkpoint cut off or longer by any length is refused", "[formats]") {
  const std::string file = RawLlama2c().bytes();
  const std::string tokenizer = RawTokenizer().bytes();
  const auto whole = read_llama2c(as_bytes(file), "x", as_bytes(tokenizer), "t", nullptr);
  if (!whole) FAIL(whole.error().message);
  for (std::size_t length = 0; length < file.size(); ++length) {
    const Exact exact(std::string_view(file).substr(0, length));
    if (read_llama2c(exact.bytes(), "x", as_bytes(tokenizer), "t", nullptr)) FAIL("accepted with " << length);
  }
  CHECK_FALSE(read_llama2c(as_bytes(file + '\0'), "x", as_bytes(tokenizer), "t", nullptr));
  for (std::size_t length = 0; length < tokenizer.size(); ++length) {
    const Exact exact(std::string_view(tokenizer).substr(0, length));
    if (read_llama2c(as_bytes(file), "x", exact.bytes(), "t", nullptr))
      FAIL("tokenizer accepted with " << length);
  }
}

TEST_CASE("a SMND file cut off or longer by any length is refused", "[formats]") {
  const std::string file = RawSmnd().bytes();
  const auto whole = read_smnd(as_bytes(file), "x", std::nullopt, nullptr);
  if (!whole) FAIL(whole.error().message);
  for (std::size_t length = 0; length < file.size(); ++length) {
    const Exact exact(std::string_view(file).substr(0, length));
    const auto result = read_smnd(exact.bytes(), "x", std::nullopt, nullptr);
    if (result) FAIL("accepted with " << length << " of " << file.size() << " bytes");
    if (!is_one_clean_line(result.error().message)) FAIL(result.error().message);
  }
  CHECK_FALSE(read_smnd(as_bytes(file + '\0'), "x", std::nullopt, nullptr));
}

TEST_CASE("random damage to a SMND file is refused or harmless", "[formats]") {
  RawSmnd small;
  small.extra = R"({"Alphabet":"abcdef","note":[1,{"a":null}],"general.name":"x"})";
  const std::size_t accepted = mutate(
      small.bytes(), 4, 20000, [](auto bytes) { return read_smnd(bytes, "x", std::nullopt, nullptr); });
  CHECK(accepted > 1000);
  CHECK(accepted < 17000);
}

TEST_CASE("random damage to a llama2.c checkpoint or tokenizer is refused or harmless", "[formats]") {
  RawLlama2c tiny;
  tiny.dim = 4;
  tiny.hidden_dim = 2;
  tiny.layers = 1;
  const std::string file = tiny.bytes();
  const std::string tokenizer = RawTokenizer().bytes();
  CHECK(mutate(file, 2, 10000,
               [&](auto b) { return read_llama2c(b, "x", as_bytes(tokenizer), "t", nullptr); }) > 100);
  CHECK(mutate(tokenizer, 3, 10000,
               [&](auto b) { return read_llama2c(as_bytes(file), "x", b, "t", nullptr); }) > 100);
}

}  // namespace
}  // namespace troupe
