// GGUF files with every field at its extremes. Each must be refused by one line that names the field, its
// value and the file's size, without memory that the file's real size does not justify.

#include <functional>
#include <limits>

#include "formats/gguf.hpp"
#include "tests/formats/allocation_meter.hpp"
#include "tests/formats/raw_file.hpp"
#include "tests/support/check_has.hpp"

namespace troupe {
namespace {

using namespace test;

constexpr std::uint64_t two_to_63 = std::uint64_t{1} << 63;
constexpr std::uint64_t max_u64 = std::numeric_limits<std::uint64_t>::max();

// Reads a copy that the checkpoint owns, so that a test may hand in a temporary.
Result<Checkpoint> parse(std::string file) {
  const auto owned = std::make_shared<const std::string>(std::move(file));
  return read_gguf(as_bytes(*owned), "x.gguf", owned);
}

struct Case {
  const char* name;
  std::function<void(RawGguf&)> damage;
  Errc code;
  std::vector<std::string> says;
};

Case bad(const char* name, std::function<void(RawGguf&)> damage, std::vector<std::string> says) {
  return {name, std::move(damage), Errc::bad_file, std::move(says)};
}
Case unsupported(const char* name, std::function<void(RawGguf&)> damage, std::vector<std::string> says) {
  return {name, std::move(damage), Errc::unsupported, std::move(says)};
}
// Replaces the metadata by one entry.
std::function<void(RawGguf&)> with(std::string metadata) {
  return [metadata = std::move(metadata)](RawGguf& f) { f.metadata = {metadata}; };
}
// Replaces the tensors by these.
std::function<void(RawGguf&)> tensors(std::vector<std::string> infos) {
  return [infos = std::move(infos)](RawGguf& f) { f.tensors = infos; };
}

std::vector<Case> header_cases() {
  return {
      bad("magic", [](RawGguf& f) { f.magic = "GGML"; }, {"magic"}),
      unsupported("version 0", [](RawGguf& f) { f.version = 0; }, {"version is 0"}),
      unsupported("version 1", [](RawGguf& f) { f.version = 1; }, {"version is 1"}),
      unsupported("version 4", [](RawGguf& f) { f.version = 4; }, {"version is 4"}),
      unsupported("version max", [](RawGguf& f) { f.version = 0xFFFFFFFF; }, {"version is 4294967295"}),
      unsupported("big-endian", [](RawGguf& f) { f.version = 0x03000000; }, {"big-endian"}),
      bad("tensor_count one too many", [](RawGguf& f) { f.tensor_count = 3; }, {"tensor"}),
      bad("tensor_count 2^32", [](RawGguf& f) { f.tensor_count = std::uint64_t{1} << 32; },
          {"tensor_count is 4294967296"}),
      bad("tensor_count 10^6", [](RawGguf& f) { f.tensor_count = 1000000; }, {"tensor_count is 1000000"}),
      bad("tensor_count 2^63", [](RawGguf& f) { f.tensor_count = two_to_63; },
          {"tensor_count is 9223372036854775808"}),
      bad("tensor_count max", [](RawGguf& f) { f.tensor_count = max_u64; },
          {"tensor_count is 18446744073709551615"}),
      bad("metadata_kv_count one too many", [](RawGguf& f) { f.metadata_count = 3; }, {"length"}),
      bad("metadata_kv_count 2^32", [](RawGguf& f) { f.metadata_count = std::uint64_t{1} << 32; },
          {"metadata_kv_count is 4294967296"}),
      bad("metadata_kv_count max", [](RawGguf& f) { f.metadata_count = max_u64; },
          {"metadata_kv_count is 18446744073709551615"}),
  };
}

std::vector<Case> metadata_cases() {
  return {
      bad("key length max", with(u64(max_u64) + "k" + u32(0) + "x"),
          {"metadata key 0", "18446744073709551615"}),
      bad("key length beyond the file", with(u64(100000) + "k" + u32(0) + "x"), {"metadata key 0", "100000"}),
      bad("key length 65536", with(entry(std::string(65536, 'k'), 0, "x")), {"65536", "65535"}),
      bad("empty key", with(entry("", 0, "x")), {"metadata key 0 is empty"}),
      bad("duplicate key",
          [](RawGguf& f) {
            f.metadata = {entry_u32("k", 1), entry_u32("k", 2)};
          },
          {"'k' occurs twice"}),
      bad("value type 13", with(entry("k", 13, "xxxx")), {"'k'", "13"}),
      bad("value type max", with(entry("k", 0xFFFFFFFF, "xxxx")), {"'k'", "4294967295"}),
      bad("boolean 2", with(entry("k", 7, "\x02")), {"'k'", "2"}),
      bad("string length max", with(entry("k", 8, u64(max_u64) + "x")), {"'k'", "18446744073709551615"}),
      bad("string length 2^63", with(entry("k", 8, u64(two_to_63) + "x")), {"'k'", "9223372036854775808"}),
      bad("array type 13", with(entry_array("k", 13, 1, "x")), {"'k'", "13"}),
      bad("array type max", with(entry_array("k", 0xFFFFFFFF, 1, "x")), {"'k'", "4294967295"}),
      unsupported("array of arrays", with(entry_array("k", 9, 1, u32(9) + u64(1))),
                  {"'k'", "arrays of arrays"}),
      bad("array of 2^63 u8", with(entry_array("k", 0, two_to_63, "x")),
          {"array count", "'k'", "9223372036854775808"}),
      bad("array of max u8", with(entry_array("k", 0, max_u64, "x")),
          {"array count", "'k'", "18446744073709551615"}),
      bad("array of 2^61 u64, 2^64 bytes", with(entry_array("k", 10, std::uint64_t{1} << 61, "x")),
          {"array count", "'k'"}),
      bad("array of 2^61 strings", with(entry_array("k", 8, std::uint64_t{1} << 61, "x")),
          {"array count", "'k'"}),
      bad("array of 1000 u16", with(entry_array("k", 2, 1000, "x")), {"array count", "'k'", "1000"}),
      bad("string in array beyond the file", with(entry_array("k", 8, 1, u64(max_u64))), {"element", "'k'"}),
      bad("boolean 255 in array", with(entry_array("k", 7, 2, "\x01\xFF")), {"'k'", "255"}),
      bad("alignment 0", with(entry_u32("general.alignment", 0)), {"general.alignment is 0"}),
      bad("alignment 1", with(entry_u32("general.alignment", 1)), {"general.alignment is 1;"}),
      bad("alignment 24", with(entry_u32("general.alignment", 24)), {"general.alignment is 24"}),
      bad("alignment 2^30", with(entry_u32("general.alignment", 1U << 30)),
          {"general.alignment is 1073741824"}),
      bad("alignment max", with(entry("general.alignment", 10, u64(max_u64))),
          {"general.alignment is 18446744073709551615"}),
      bad("alignment negative", with(entry("general.alignment", 5, u32(0xFFFFFFE0))),
          {"general.alignment", "-32"}),
      bad("alignment a string", with(entry("general.alignment", 8, text("32"))),
          {"general.alignment", "string"}),
      bad("alignment beyond the file", with(entry_u32("general.alignment", 1 << 20)),
          {"the offset of tensor 'b'", "96"}),
      unsupported("part of a split model", with(entry("split.count", 2, std::string("\x02\0", 2))),
                  {"split.count is 2"}),
  };
}

std::vector<Case> tensor_cases() {
  const auto dims = [](std::initializer_list<std::uint64_t> d) { return tensors({info("t", d, 0, 0)}); };
  return {
      bad("name length max", tensors({u64(max_u64) + "t"}), {"name of tensor 0", "18446744073709551615"}),
      bad("empty name", tensors({info("", {8}, 0, 0)}), {"name of tensor 0 is empty"}),
      bad("duplicate name", tensors({info("t", {8}, 0, 0), info("t", {8}, 0, 32)}), {"'t' occurs twice"}),
      bad("no dimensions", dims({}), {"n_dimensions of tensor 't' is 0"}),
      bad("five dimensions", dims({1, 1, 1, 1, 1}), {"n_dimensions of tensor 't' is 5"}),
      bad("2^32 - 1 dimensions", tensors({text("t") + u32(0xFFFFFFFF) + u64(1)}),
          {"n_dimensions", "4294967295"}),
      bad("dimension 0", dims({8, 0}), {"dimension 1 of tensor 't' is 0"}),
      bad("dimension max", dims({max_u64}), {"dimension 0", "18446744073709551615"}),
      bad("dimension 2^63", dims({1, two_to_63}), {"dimension 1", "9223372036854775808"}),
      bad("product 2^64", dims({std::uint64_t{1} << 32, std::uint64_t{1} << 32}),
          {"dimension 1", "4294967296", "63 bits"}),
      bad("product 2^66 wraps to 0", dims({std::uint64_t{1} << 33, std::uint64_t{1} << 33}),
          {"dimension 1", "63 bits"}),
      bad("product of four wraps to 1", dims({0xFFFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 1, 1}),
          {"dimension 0"}),
      bad("elements 2^62, bytes 2^64", dims({std::uint64_t{1} << 62}),
          {"'t'", "past the end", "4611686018427387904"}),
      bad("one row too many", dims({8, 6}), {"'t'", "48 elements", "past the end"}),
      unsupported("type 4, withdrawn", tensors({info("t", {32}, 4, 0)}), {"type of tensor 't' is 4"}),
      unsupported("type max", tensors({info("t", {32}, 0xFFFFFFFF, 0)}),
                  {"type of tensor 't' is 4294967295"}),
      bad("row is no whole block", tensors({info("t", {48}, 8, 0)}),
          {"dimension 0 of tensor 't' is 48", "32"}),
      bad("row is less than a block", tensors({info("t", {32, 8}, 12, 0)}),
          {"dimension 0 of tensor 't' is 32", "256"}),
      bad("offset not aligned", tensors({info("t", {8}, 0, 4)}), {"offset of tensor 't' is 4", "32"}),
      bad("offset at the end", tensors({info("t", {8}, 0, 160)}), {"'t' at offset 160", "past the end"}),
      bad("offset beyond the end", tensors({info("t", {8}, 0, 1 << 20)}),
          {"'t' at offset 1048576", "past the end"}),
      bad("offset that wraps around", tensors({info("t", {8}, 0, max_u64 - 31)}),
          {"'t' at offset 18446744073709551584"}),
      bad("same offset twice", tensors({info("t", {8}, 0, 32), info("u", {8}, 0, 32)}),
          {"offset of tensor", "is 32"}),
      bad("overlap", tensors({info("t", {8}, 0, 32), info("u", {8, 2}, 0, 0)}),
          {"offset of tensor 't' is 32", "64"}),
      bad("no data", [](RawGguf& f) { f.data.clear(); }, {"'a'", "past the end of the 0 bytes"}),
      bad("last byte of the data missing", [](RawGguf& f) { f.data.resize(129); },
          {"'b' at offset 96", "129 bytes"}),
      bad("last byte of the padding missing", [](RawGguf& f) { f.data.resize(159); },
          {"padding", "1 bytes short"}),
  };
}

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    INFO(c.name);
    RawGguf file;
    c.damage(file);
    const std::string bytes = file.bytes();
    const AllocationMeter meter;
    const auto result = read_gguf(as_bytes(bytes), "x.gguf", nullptr);
    const std::size_t peak = meter.peak_bytes();
    CHECK(peak <= 8 * bytes.size() + 8192);
    if (result) {
      FAIL_CHECK("was accepted");
      continue;
    }
    const std::string& message = result.error().message;
    CHECK(result.error().code == c.code);
    for (const std::string& part : c.says) CHECK_HAS(message, part);
    CHECK_HAS(message, "x.gguf");
    CHECK_HAS(message, "file size " + std::to_string(bytes.size()) + " bytes");
    CHECK(message.find('\n') == std::string::npos);
  }
}

TEST_CASE("the untouched sample file is valid", "[formats]") {
  const auto result = parse(RawGguf().bytes());
  if (!result) FAIL(result.error().message);
  CHECK(result->find("a")->dims == std::vector<std::uint64_t>{3, 8});
  CHECK(result->find("b")->data.size() == 34);
  CHECK(result->file_bytes == RawGguf().bytes().size());
}

TEST_CASE("absurd header fields are refused by name", "[formats]") {
  check(header_cases());
}
TEST_CASE("absurd metadata is refused by name", "[formats]") {
  check(metadata_cases());
}
TEST_CASE("absurd tensors are refused by name", "[formats]") {
  check(tensor_cases());
}

TEST_CASE("version 2 reads like version 3", "[formats]") {
  RawGguf file;
  file.version = 2;
  const auto result = parse(file.bytes());
  REQUIRE(result);
  CHECK(result->format == "GGUF v2");
}

TEST_CASE("a file may end right behind its last tensor or go on behind the padding", "[formats]") {
  RawGguf file;
  file.data.resize(96 + 34);
  CHECK(parse(file.bytes()));
  file.data.resize(96 + 34 + 30 + 1000);
  CHECK(parse(file.bytes()));
}

TEST_CASE("a vocabulary without tensors needs no padding", "[formats]") {
  RawGguf file;
  file.tensors.clear();
  file.data.clear();
  const auto result = parse(file.bytes());
  REQUIRE(result);
  CHECK(result->tensors.empty());
}

TEST_CASE("tensors may lie in any order and any allowed alignment", "[formats]") {
  RawGguf file;
  file.alignment = 256;
  file.metadata = {entry_u32("general.alignment", 256)};
  file.tensors = {info("late", {8}, 0, 256), info("early", {8}, 0, 0)};
  file.data = std::string(32, 'e') + std::string(224, '\0') + std::string(256, 'l');
  const auto result = parse(file.bytes());
  if (!result) FAIL(result.error().message);
  CHECK(result->find("early")->data[0] == std::byte{'e'});
  CHECK(result->find("late")->data[0] == std::byte{'l'});
}

TEST_CASE("every value type is widened as documented", "[formats]") {
  RawGguf file;
  file.metadata = {entry("u8", 0, "\xFF"),
                   entry("i8", 1, "\xFF"),
                   entry("u16", 2, "\xFF\xFF"),
                   entry("i16", 3, "\xFE\xFF"),
                   entry("u32", 4, u32(0xFFFFFFFF)),
                   entry("i32", 5, u32(0xFFFFFFFD)),
                   entry("f32", 6, raw(0.1F)),
                   entry("true", 7, "\x01"),
                   entry("empty", 8, text("")),
                   entry("u64", 10, u64(max_u64)),
                   entry("i64", 11, u64(two_to_63)),
                   entry("f64", 12, raw(0.1)),
                   entry_array("u8s", 0, 2, "\x01\xFF"),
                   entry_array("i8s", 1, 1, "\xFF"),
                   entry_array("bools", 7, 2, std::string("\x01\0", 2)),
                   entry_array("none", 8, 0, ""),
                   entry_array("f32s", 6, 1, raw(0.1F)),
                   entry_array("i16s", 3, 1, "\xFE\xFF"),
                   entry_array("u64s", 10, 1, u64(max_u64))};
  const auto result = parse(file.bytes());
  if (!result) FAIL(result.error().message);
  const Metadata& m = result->metadata;
  CHECK(*m.find("u8") == MetadataValue(std::uint64_t{255}));
  CHECK(*m.find("i8") == MetadataValue(std::int64_t{-1}));
  CHECK(*m.find("u16") == MetadataValue(std::uint64_t{65535}));
  CHECK(*m.find("i16") == MetadataValue(std::int64_t{-2}));
  CHECK(*m.find("u32") == MetadataValue(std::uint64_t{0xFFFFFFFF}));
  CHECK(*m.find("i32") == MetadataValue(std::int64_t{-3}));
  CHECK(*m.find("f32") == MetadataValue(static_cast<double>(0.1F)));
  CHECK(*m.find("true") == MetadataValue(true));
  CHECK(*m.find("empty") == MetadataValue(std::string()));
  CHECK(*m.find("u64") == MetadataValue(max_u64));
  CHECK(*m.find("i64") == MetadataValue(std::numeric_limits<std::int64_t>::min()));
  CHECK(*m.find("f64") == MetadataValue(0.1));
  CHECK(*m.find("u8s") == MetadataValue(std::vector<std::uint64_t>{1, 255}));
  CHECK(*m.find("i8s") == MetadataValue(std::vector<std::int64_t>{-1}));
  CHECK(*m.find("bools") == MetadataValue(std::vector<std::uint64_t>{1, 0}));
  CHECK(*m.find("none") == MetadataValue(std::vector<std::string>{}));
  CHECK(*m.find("f32s") == MetadataValue(std::vector<double>{static_cast<double>(0.1F)}));
  CHECK(*m.find("i16s") == MetadataValue(std::vector<std::int64_t>{-2}));
  CHECK(*m.find("u64s") == MetadataValue(std::vector<std::uint64_t>{max_u64}));
}

TEST_CASE("names in errors cannot reach the terminal", "[formats]") {
  RawGguf file;
  file.tensors = {info("\x1b[2J\nroot", {8}, 77, 0)};
  const auto result = parse(file.bytes());
  REQUIRE_FALSE(result);
  CHECK_HAS(result.error().message, "\\x1b[2J\\nroot");
  CHECK(result.error().message.find('\x1b') == std::string::npos);
  CHECK(result.error().message.find('\n') == std::string::npos);
}

TEST_CASE("a file full of the smallest entries takes no more than eight times its size", "[formats]") {
  RawGguf file;
  file.tensors.clear();
  file.data.clear();
  SECTION("one-byte integers") {
    file.metadata = {entry_array("k", 0, 1000000, std::string(1000000, '\x01'))};
  }
  SECTION("empty strings") {
    file.metadata = {entry_array("k", 8, 100000, std::string(800000, '\0'))};
  }
  SECTION("strings just too long to lie in the string object") {
    std::string strings;
    for (int i = 0; i < 50000; ++i) strings += text("0123456789abcdef");
    file.metadata = {entry_array("k", 8, 50000, strings)};
  }
  SECTION("metadata entries") {
    file.metadata.clear();
    for (int i = 0; i < 50000; ++i) file.metadata.push_back(entry(std::to_string(i), 0, "x"));
  }
  SECTION("tensors") {
    for (int i = 0; i < 30000; ++i)
      file.tensors.push_back(info(std::to_string(i), {1}, 24, 32 * static_cast<std::uint64_t>(i)));
    file.data = std::string(32 * 30000, '\0');
  }
  const std::string bytes = file.bytes();
  const AllocationMeter meter;
  const auto result = read_gguf(as_bytes(bytes), "x.gguf", nullptr);
  const std::size_t peak = meter.peak_bytes();
  if (!result) FAIL(result.error().message);
  CHECK(peak <= 8 * bytes.size() + 8192);
  CHECK(peak > bytes.size() / 8);  // the meter does measure
}

}  // namespace
}  // namespace troupe
