#include "formats/open.hpp"

#include "tests/formats/raw_file.hpp"
#include "tests/support/check_has.hpp"
#include "tests/support/shared_data.hpp"
#include "tests/support/temporary_folder.hpp"

namespace troupe {
namespace {

using namespace test;

TEST_CASE("a file is recognised by its content, not its name", "[formats]") {
  const TemporaryFolder folder;
  const auto gguf = open_checkpoint(folder.file("model.bin", RawGguf().bytes()));
  if (!gguf) FAIL(gguf.error().message);
  CHECK(gguf->format == "GGUF v3");
  folder.file("tok5.bin", RawTokenizer().bytes());
  const auto llama2c = open_checkpoint(folder.file("model.gguf", RawLlama2c().bytes()));
  if (!llama2c) FAIL(llama2c.error().message);
  CHECK(llama2c->format == "llama2.c v0");
}

TEST_CASE("a checkpoint keeps its mapping alive", "[formats]") {
  const TemporaryFolder folder;
  const auto path = folder.file("model.gguf", RawGguf().bytes());
  auto opened = open_checkpoint(path);
  REQUIRE(opened);
  std::filesystem::remove(path);
  const Checkpoint moved = *std::move(opened);
  REQUIRE(moved.find("a") != nullptr);
  CHECK(moved.find("a")->data[95] == std::byte{1});
}

TEST_CASE("an unknown file is refused by its first bytes and the formats known", "[formats]") {
  const TemporaryFolder folder;
  const auto refused = [&](std::string_view bytes, Errc code, std::string_view part) {
    const auto result = open_checkpoint(folder.file("file", bytes));
    REQUIRE_FALSE(result);
    CHECK(result.error().code == code);
    CHECK_HAS(result.error().message, part);
    CHECK_HAS(result.error().message, "/file'");
    CHECK(result.error().message.find('\n') == std::string::npos);
  };
  refused("Once upon a time, there was a file.", Errc::bad_file,
          "begins with 'Once upo', which is no known model format");
  refused("PK\x03\x04 a zip file, as PyTorch makes", Errc::bad_file, "PK\\x03\\x04");
  refused("x", Errc::bad_file, "known are GGUF");
  refused(std::string(1000, '\0'), Errc::bad_file, "\\x00");
  refused(std::string(1000, '\xFF'), Errc::bad_file, "\\xff");
  refused("GGU", Errc::bad_file, "begins with 'GGU'");
  refused("GGUF", Errc::bad_file, "version");
  refused("SMND", Errc::bad_file, "version");
  refused(std::string_view("SMND\x02\0\0\0", 8), Errc::unsupported, "its version is 2");
  refused(raw(std::uint32_t{0x616B3432}) + raw(std::int32_t{1}), Errc::unsupported, "version 1 or 2");
  refused("version https://git-lfs.github.com/spec/v1\noid sha256:0", Errc::bad_file, "git lfs pull");
  refused(RawLlama2c().bytes() + "x", Errc::bad_file, "llama2.c");
}

TEST_CASE("a SmallMind checkpoint opens with the alphabet that is named for it", "[formats]") {
  const TemporaryFolder folder;
  const auto path = folder.file("model", RawSmnd().bytes());
  const auto plain = open_checkpoint(path);
  if (!plain) FAIL(plain.error().message);
  CHECK(plain->format == "SMND v1");
  CHECK(*plain->metadata.need_string("tokenizer.ggml.model") == "none");
  const auto spoken = open_checkpoint(path, {folder.file("alphabet.txt", "abcdef")});
  if (!spoken) FAIL(spoken.error().message);
  CHECK(*spoken->metadata.need_string("tokenizer.ggml.model") == "char");
  const auto missing = open_checkpoint(path, {folder.path() / "none.txt"});
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::io);
}

TEST_CASE("a tokenizer named for a GGUF file is refused rather than ignored", "[formats]") {
  const TemporaryFolder folder;
  const auto result =
      open_checkpoint(folder.file("model.gguf", RawGguf().bytes()), {folder.file("tok.bin", "x")});
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::bad_argument);
  CHECK_HAS(result.error().message, "--tokenizer");
}

TEST_CASE("a missing file is an io error that names it", "[formats]") {
  const auto result = open_checkpoint("/nowhere/model.gguf");
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::io);
  CHECK_HAS(result.error().message, "/nowhere/model.gguf");
}

}  // namespace
}  // namespace troupe
