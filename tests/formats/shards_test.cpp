// Models in several GGUF files.

#include "formats/gguf_writer.hpp"
#include "formats/open.hpp"
#include "tests/formats/raw_file.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/check_has.hpp"
#include "tests/support/temporary_folder.hpp"

namespace troupe {
namespace {

using namespace test;

std::string shard_name(unsigned no, unsigned count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05u-of-%05u.gguf", no + 1, count);
  return name;
}

/// A shard with a tensor of one number, `value`, for each name.
struct Shard {
  std::uint64_t no = 0;
  std::uint64_t count = 3;
  std::uint64_t all_tensors = 4;
  std::vector<std::string> tensors;
  float value = 0;
  std::string architecture = {};  // not stated where empty

  std::filesystem::path write(const TemporaryFolder& folder, const std::string& name) const {
    Metadata metadata;
    metadata.insert("split.no", no);
    metadata.insert("split.count", count);
    metadata.insert("split.tensors.count", all_tensors);
    if (!architecture.empty()) metadata.insert("general.architecture", architecture);
    std::vector<TensorView> views;
    for (const std::string& tensor : tensors)
      views.push_back({tensor, TensorType::f32, {1}, std::as_bytes(std::span(&value, 1))});
    REQUIRE(write_gguf(folder.path() / name, metadata, views));
    return folder.path() / name;
  }
};

/// Three shards with four tensors; change what is to be wrong.
std::vector<Shard> three() {
  return {{.no = 0, .tensors = {"a", "b"}, .value = 1, .architecture = "llama"},
          {.no = 1, .tensors = {"c"}, .value = 2},
          {.no = 2, .tensors = {"d"}, .value = 3}};
}

void write_all(const TemporaryFolder& folder, const std::vector<Shard>& shards) {
  for (unsigned i = 0; i < shards.size(); ++i)
    (void)shards[i].write(folder, shard_name(i, static_cast<unsigned>(shards.size())));
}

Error refusal(const TemporaryFolder& folder, const std::string& name) {
  const auto opened = open_checkpoint(folder.path() / name);
  REQUIRE_FALSE(opened);
  CHECK(opened.error().message.find('\n') == std::string::npos);
  return opened.error();
}

}  // namespace

TEST_CASE("a model in several files opens as one, whichever is named", "[formats]") {
  const TemporaryFolder folder;
  write_all(folder, three());
  for (unsigned no = 0; no < 3; ++no) {
    const auto opened = open_checkpoint(folder.path() / shard_name(no, 3));
    if (!opened) FAIL(opened.error().message);
    CHECK(opened->format == "GGUF v3, 3 shards");
    REQUIRE(opened->tensors.size() == 4);
    const char* names[] = {"a", "b", "c", "d"};
    const float values[] = {1, 1, 2, 3};
    for (int i = 0; i < 4; ++i) {
      REQUIRE(opened->find(names[i]) == &opened->tensors[static_cast<std::size_t>(i)]);
      float value = 0;
      std::memcpy(&value, opened->find(names[i])->data.data(), sizeof value);
      CHECK(value == values[i]);
    }
    CHECK(*opened->metadata.need_string("general.architecture") == "llama");
    CHECK_FALSE(opened->metadata.contains("split.count"));
    std::uint64_t bytes = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) bytes += entry.file_size();
    CHECK(opened->file_bytes == bytes);
  }
}

TEST_CASE("tensors of shards may be let go of, and are there when they are read again", "[formats]") {
  const TemporaryFolder folder;
  write_all(folder, three());
  const auto opened = open_checkpoint(folder.path() / shard_name(1, 3));
  REQUIRE(opened);
  for (const TensorView& tensor : opened->tensors) opened->let_go(tensor.data);
  const std::vector<std::byte> elsewhere(100000, std::byte{7});  // not of the files: left alone
  opened->let_go(elsewhere);
  CHECK(std::count(elsewhere.begin(), elsewhere.end(), std::byte{7}) == 100000);
  CHECK(opened->find("c")->data[3] == std::byte{0x40});
}

TEST_CASE("shards that are missing, misnamed or of another model are refused by name", "[formats]") {
  const TemporaryFolder folder;
  const auto with = [&](auto change) {
    std::vector<Shard> shards = three();
    change(shards);
    write_all(folder, shards);
    return refusal(folder, shard_name(0, 3));
  };

  write_all(folder, three());
  std::filesystem::remove(folder.path() / shard_name(1, 3));
  const Error missing = refusal(folder, shard_name(2, 3));
  CHECK(missing.code == Errc::io);
  CHECK_HAS(missing.message, "shard 2 of 3 is needed");
  CHECK_HAS(missing.message, shard_name(1, 3));

  write_all(folder, three());
  std::filesystem::rename(folder.path() / shard_name(0, 3), folder.path() / "renamed.gguf");
  CHECK_HAS(refusal(folder, "renamed.gguf").message, "must end in -00001-of-00003.gguf");

  const Error swapped = with([](auto& s) { std::swap(s[1], s[2]); });
  CHECK_HAS(swapped.message, "by its name it is shard 2 of 3");
  CHECK_HAS(swapped.message, "shard 3 of 3");
  CHECK_HAS(with([](auto& s) { s[1].count = 4; }).message, "shard 2 of 4");
  CHECK_HAS(with([](auto& s) { s[0].count = 4; }).message, "must end in -00001-of-00004.gguf");
  CHECK_HAS(with([](auto& s) { s[0].no = 3; }).message, "split.no is 3");
  CHECK_HAS(with([](auto& s) { s[0].count = 100000; }).message, "split.count is 100000");
  CHECK_HAS(with([](auto& s) { s[2].all_tensors = 5; }).message, "not of one model");
  CHECK_HAS(with([](auto& s) { s[2].architecture = "gpt2"; }).message, "not of one model");
  CHECK_HAS(with([](auto& s) { s[2].tensors = {"a"}; }).message, "tensor 'a' is in an earlier shard");
  CHECK_HAS(with([](auto& s) {
              for (Shard& shard : s) shard.all_tensors = 5;
            }).message,
            "split.tensors.count is 5, but the 3 shards have 4 tensors");
  CHECK_HAS(with([](auto& s) { s[1].tensors = {}; }).message, "have 3 tensors");
}

TEST_CASE("a damaged shard is named", "[formats]") {
  const TemporaryFolder folder;
  write_all(folder, three());
  folder.file(shard_name(1, 3), "GGUF\x03");
  const Error error = refusal(folder, shard_name(0, 3));
  CHECK(error.code == Errc::bad_file);
  CHECK_HAS(error.message, shard_name(1, 3));
}

}  // namespace troupe
