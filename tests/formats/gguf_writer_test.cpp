#include "formats/gguf_writer.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "formats/gguf.hpp"
#include "formats/open.hpp"
#include "tests/formats/raw_file.hpp"
#include "tests/support/check_has.hpp"
#include "tests/support/shared_data.hpp"
#include "tests/support/temporary_folder.hpp"

namespace troupe {
namespace {

using namespace test;

std::string image(const Metadata& metadata, std::span<const TensorView> tensors = {}) {
  const auto result = gguf_image(metadata, tensors);
  if (!result) FAIL(result.error().message);
  return {reinterpret_cast<const char*>(result->data()), result->size()};
}

TensorView tensor(std::string name, TensorType type, std::vector<std::uint64_t> dims, std::string_view data) {
  return {std::move(name), type, std::move(dims), std::as_bytes(std::span(data))};
}

TEST_CASE("a written file is GGUF v3 byte for byte", "[formats]") {
  Metadata metadata;
  metadata.insert("n", std::uint64_t{7});
  metadata.insert("a", std::string("x"));
  const std::string data(24, 'd');
  const TensorView tensors[] = {tensor("t", TensorType::f32, {3, 2}, data),
                                tensor("u", TensorType::i8, {1}, "e")};
  std::string expected = "GGUF" + u32(3) + u64(2) + u64(2) + entry("a", 8, text("x")) + entry_u32("n", 7) +
                         info("t", {2, 3}, 0, 0) + info("u", {1}, 24, 32);
  expected.resize((expected.size() + 31) / 32 * 32);
  expected += data + std::string(8, '\0') + "e" + std::string(31, '\0');
  CHECK(image(metadata, tensors) == expected);
}

TEST_CASE("values are written in the narrow types that other programs read", "[formats]") {
  const auto entry_of = [](MetadataValue value) {
    Metadata metadata;
    metadata.insert("k", std::move(value));
    const std::string file = image(metadata);
    std::string bytes = file.substr(24 + 8 + 1);  // header, key
    bytes.resize((bytes.size()));
    return bytes;
  };
  const auto is = [&](MetadataValue value, std::uint32_t type, const std::string& payload) {
    const std::string bytes = entry_of(std::move(value));
    const std::string expected = u32(type) + payload;
    CHECK(bytes.substr(0, expected.size()) == expected);
    CHECK(bytes.find_first_not_of('\0', expected.size()) == std::string::npos);
  };
  is(std::uint64_t{0xFFFFFFFF}, 4, u32(0xFFFFFFFF));
  is(std::uint64_t{0x100000000}, 10, u64(0x100000000));
  is(std::int64_t{-1}, 5, raw(std::int32_t{-1}));
  is(std::int64_t{2147483648}, 11, raw(std::int64_t{2147483648}));
  is(std::int64_t{-2147483649}, 11, raw(std::int64_t{-2147483649}));
  is(1e-5, 6, raw(1e-5F));
  is(std::numeric_limits<double>::infinity(), 6, raw(std::numeric_limits<float>::infinity()));
  is(1e300, 12, raw(1e300));
  is(true, 7, "\x01");
  is(std::string("text"), 8, text("text"));
  is(std::vector<std::uint64_t>{1, 2}, 9, u32(4) + u64(2) + u32(1) + u32(2));
  is(std::vector<std::uint64_t>{1, 0x100000000}, 9, u32(10) + u64(2) + u64(1) + u64(0x100000000));
  is(std::vector<std::int64_t>{1, -2}, 9, u32(5) + u64(2) + raw(std::int32_t{1}) + raw(std::int32_t{-2}));
  is(std::vector<double>{0.5}, 9, u32(6) + u64(1) + raw(0.5F));
  is(std::vector<std::string>{"a", ""}, 9, u32(8) + u64(2) + text("a") + text(""));
  is(std::vector<std::string>{}, 9, u32(8) + u64(0));
}

TEST_CASE("types without a kernel are read, so that a file can be looked at", "[formats]") {
  struct Case {
    std::uint32_t number;
    std::size_t block_elements, block_bytes;
    std::string_view name;
  };
  for (const Case& c : {Case{34, 256, 54, "TQ1_0"}, Case{35, 256, 66, "TQ2_0"}, Case{39, 32, 17, "MXFP4"}}) {
    const std::string data(2 * c.block_bytes, 'd');
    const TensorView tensors[] = {
        tensor("t", static_cast<TensorType>(c.number), {2, c.block_elements}, data)};
    const std::string file = image({}, tensors);
    INFO(c.name);
    const auto checkpoint = read_gguf(std::as_bytes(std::span(file)), "t.gguf", nullptr);
    REQUIRE(checkpoint);
    CHECK(checkpoint->tensors.at(0).data.size() == data.size());
    CHECK(tensor_type_info(checkpoint->tensors.at(0).type).name == c.name);
  }
}

TEST_CASE("a real file survives being written and read again", "[formats]") {
  const TemporaryFolder folder;
  for (const char* name : {"models/stories260K/stories260Ktok512.gguf", "models/nano/nano-llama-Q4_K_M.gguf",
                           "models/nano/nano-gpt2.gguf", "vocab/ggml-vocab-llama-spm.gguf"}) {
    const auto path = shared_data(name);
    if (!path) return;
    INFO(name);
    const auto before = open_checkpoint(*path);
    REQUIRE(before);
    const auto copy = folder.path() / "copy.gguf";
    const auto written = write_gguf(copy, before->metadata, before->tensors);
    if (!written) FAIL(written.error().message);
    const auto after = open_checkpoint(copy);
    if (!after) FAIL(after.error().message);
    CHECK(std::equal(before->metadata.begin(), before->metadata.end(), after->metadata.begin(),
                     after->metadata.end()));
    REQUIRE(after->tensors.size() == before->tensors.size());
    for (std::size_t i = 0; i < after->tensors.size(); ++i) {
      const TensorView& a = before->tensors[i];
      const TensorView& b = after->tensors[i];
      CHECK(a.name == b.name);
      CHECK(a.type == b.type);
      CHECK(a.dims == b.dims);
      REQUIRE(a.data.size() == b.data.size());
      CHECK(std::memcmp(a.data.data(), b.data.data(), a.data.size()) == 0);
    }
    CHECK(TemporaryFolder::read(copy) == image(after->metadata, after->tensors));
  }
}

TEST_CASE("general.alignment is obeyed", "[formats]") {
  Metadata metadata;
  metadata.insert("general.alignment", std::uint64_t{128});
  const std::string data(4, 'd');
  const TensorView tensors[] = {tensor("t", TensorType::f32, {1}, data),
                                tensor("u", TensorType::f32, {1}, data)};
  const std::string file = image(metadata, tensors);
  CHECK(file.size() % 128 == 0);
  const auto read = read_gguf(as_bytes(file), "x", nullptr);
  REQUIRE(read);
  CHECK(read->find("u")->data.data() - read->find("t")->data.data() == 128);
}

TEST_CASE("what GGUF cannot hold is refused and no file appears", "[formats]") {
  const TemporaryFolder folder;
  const std::string data(64, 'd');
  const auto refused = [&](const Metadata& metadata, std::vector<TensorView> tensors, std::string_view part) {
    const auto status = write_gguf(folder.path() / "x.gguf", metadata, tensors);
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::bad_argument);
    CHECK_HAS(status.error().message, part);
  };
  const Metadata none;
  const auto f32 = TensorType::f32;
  refused(none, {tensor("t", f32, {4, 5}, data)}, "'t' of type F32 has 64 bytes");
  refused(none, {tensor("t", f32, {std::uint64_t{1} << 62, 4}, data)}, "64 bytes");
  refused(none, {tensor("t", f32, {16, 0}, data)}, "64 bytes");
  refused(none, {tensor("t", f32, {}, data)}, "0 dimensions");
  refused(none, {tensor("t", f32, {1, 1, 1, 1, 16}, data)}, "5 dimensions");
  refused(none, {tensor("t", TensorType::q8_0, {2, 16}, data)}, "'t' of type Q8_0");
  refused(none, {tensor("t", static_cast<TensorType>(99), {16}, data)}, "unknown type 99");
  refused(none, {tensor("", f32, {16}, data)}, "tensor name");
  refused(none, {tensor("t", f32, {16}, data), tensor("t", f32, {16}, data)}, "'t' occurs twice");
  Metadata wrong;
  wrong.insert("general.alignment", std::uint64_t{3});
  refused(wrong, {}, "general.alignment is 3");
  Metadata unnamed;
  unnamed.insert("", true);
  refused(unnamed, {}, "metadata key");
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("a file whose writer is told to stop does not appear, and replaces none", "[formats]") {
  const TemporaryFolder folder;
  const std::string data(std::size_t{20} << 20, 'd');  // three pieces
  const std::vector<TensorView> tensors = {tensor("t", TensorType::f32, {5, 1 << 20}, data)};
  const auto path = folder.path() / "x.gguf";
  REQUIRE(write_gguf(path, {}, {}));
  const std::string before = TemporaryFolder::read(path);
  for (int answers = 0; answers <= 3; ++answers) {  // the last before it would appear
    int asked = 0;
    const auto status = write_gguf(path, {}, tensors, [&] { return asked++ == answers; });
    REQUIRE_FALSE(status);
    CHECK(status.error().code == Errc::cancelled);
    CHECK(asked == answers + 1);
    CHECK(TemporaryFolder::read(path) == before);
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
  }
  CHECK(write_gguf(path, {}, tensors, [] { return false; }));
}

TEST_CASE("a folder that is not there is an io error", "[formats]") {
  const TemporaryFolder folder;
  const auto status = write_gguf(folder.path() / "absent" / "x.gguf", {}, {});
  REQUIRE_FALSE(status);
  CHECK(status.error().code == Errc::io);
  CHECK_HAS(status.error().message, "absent/x.gguf");
}

}  // namespace
}  // namespace troupe
