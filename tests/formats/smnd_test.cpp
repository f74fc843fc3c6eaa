#include "formats/smnd.hpp"

#include <cmath>
#include <cstring>

#include "formats/gguf.hpp"
#include "formats/gguf_writer.hpp"
#include "formats/open.hpp"
#include "tests/formats/raw_file.hpp"
#include "tests/support/check_has.hpp"
#include "tests/support/shared_data.hpp"
#include "tests/support/temporary_folder.hpp"

namespace troupe {
namespace {

using namespace test;

Checkpoint read(const std::string& file, const std::optional<AlphabetText>& alphabet = std::nullopt) {
  auto result = read_smnd(as_bytes(file), "x.smnd", alphabet, nullptr);
  if (!result) FAIL(result.error().message);
  return *std::move(result);
}

std::string image(const Checkpoint& checkpoint) {
  const auto result = smnd_image(checkpoint);
  if (!result) FAIL(result.error().message);
  return {reinterpret_cast<const char*>(result->data()), result->size()};
}

std::vector<std::string> tokens_of(const Checkpoint& checkpoint) {
  const auto tokens = checkpoint.metadata.get_strings("tokenizer.ggml.tokens");
  REQUIRE(tokens);
  REQUIRE(*tokens != nullptr);
  return **tokens;
}

TEST_CASE("SMND parameters get GGUF's names, shapes and their own values", "[formats]") {
  const std::string file = RawSmnd().bytes();
  const Checkpoint model = read(file);
  CHECK(model.format == "SMND v1");
  CHECK(model.file_bytes == file.size());
  CHECK(model.tensors.size() == 17);
  struct Expected {
    const char* name;
    std::vector<std::uint64_t> dims;
    int first;
  };
  const Expected expected[] = {
      {"token_embd.weight", {6, 4}, 0},
      {"position_embd.weight", {5, 4}, 24},
      {"blk.0.attn_norm.weight", {4}, 44},
      {"blk.0.attn_norm.bias", {4}, 48},
      {"blk.0.attn_qkv.weight", {12, 4}, 52},
      {"blk.0.attn_qkv.bias", {12}, 100},
      {"blk.0.attn_output.weight", {4, 4}, 112},
      {"blk.0.attn_output.bias", {4}, 128},
      {"blk.0.ffn_norm.weight", {4}, 132},
      {"blk.0.ffn_norm.bias", {4}, 136},
      {"blk.0.ffn_up.weight", {16, 4}, 140},
      {"blk.0.ffn_up.bias", {16}, 204},
      {"blk.0.ffn_down.weight", {4, 16}, 220},
      {"blk.0.ffn_down.bias", {4}, 284},
      {"output_norm.weight", {4}, 288},
      {"output_norm.bias", {4}, 292},
      {"output.weight", {6, 4}, 296},
  };
  for (const Expected& e : expected) {
    INFO(e.name);
    const TensorView* tensor = model.find(e.name);
    REQUIRE(tensor != nullptr);
    CHECK(tensor->dims == e.dims);
    CHECK(tensor->type == TensorType::f32);
    float first = 0;
    std::memcpy(&first, tensor->data.data(), sizeof(first));
    CHECK(first * 1024.0F == static_cast<float>(e.first));
  }
  CHECK(*model.metadata.need_string("general.architecture") == "gpt2");
  CHECK(*model.metadata.need_u64("gpt2.context_length") == 5);
  CHECK(*model.metadata.need_u64("gpt2.attention.head_count") == 2);
  CHECK(*model.metadata.need_u64("gpt2.feed_forward_length") == 16);
  CHECK(*model.metadata.need_string("tokenizer.ggml.model") == "none");
}

TEST_CASE("what the format ignores may be anything, and comes back as it was", "[formats]") {
  RawSmnd file;
  file.reserved = -7'000'000'000'000;
  file.metadata =
      "\n { \"Note\": [1, 2.50, {\"x\": null}],\t\"ModelType\" : \"TransformerModel\", \"VocabSize\": 6,"
      "\"BlockSize\":5,\"EmbedDim\":4,\"NumHeads\":2,\"NumLayers\":1,\"FfnHiddenDim\":\"?\",\"Extra\":null} ";
  CHECK(image(read(file.bytes())) == file.bytes());
  file.metadata.replace(file.metadata.find(",\"Extra\":null"), 13, "");
  CHECK(image(read(file.bytes())) == file.bytes());
}

TEST_CASE("the demonstration checkpoint comes back with the same bytes, by way of GGUF too", "[formats]") {
  const auto path = shared_data("smnd/demo-model.smnd");
  if (!path) return;
  const std::string file = TemporaryFolder::read(*path);
  const Checkpoint model = read(file);
  const TemporaryFolder folder;
  const Status stopped = write_smnd(folder.path() / "a.smnd", model, [] { return true; });
  REQUIRE_FALSE(stopped);
  CHECK(stopped.error().code == Errc::cancelled);
  CHECK(std::filesystem::is_empty(folder.path()));
  REQUIRE(write_smnd(folder.path() / "a.smnd", model));
  CHECK((TemporaryFolder::read(folder.path() / "a.smnd") == file));
  REQUIRE(write_gguf(folder.path() / "b.gguf", model.metadata, model.tensors));
  const auto reopened = open_checkpoint(folder.path() / "b.gguf");
  if (!reopened) FAIL(reopened.error().message);
  CHECK((image(*reopened) == file));
}

TEST_CASE("an alphabet's distinct characters, sorted, become the vocabulary and are kept in Extra",
          "[formats]") {
  RawSmnd file;
  file.extra = R"({"Author":"me"})";
  const std::string plain = file.bytes();
  // Seven characters and a byte order mark, six of them different.
  const Checkpoint model = read(plain, AlphabetText{"\xEF\xBB\xBF"
                                                    "n\u00e9e\nxna",
                                                    "a.txt"});
  const std::vector<std::string> expected{"\n", "a", "e", "n", "x", "\u00e9"};
  CHECK(*model.metadata.need_string("tokenizer.ggml.model") == "char");
  CHECK(tokens_of(model) == expected);

  const std::string with_vocabulary = image(model);
  const Checkpoint again = read(with_vocabulary);
  CHECK(tokens_of(again) == expected);
  CHECK(image(again) == with_vocabulary);
  CHECK_HAS(*again.metadata.need_string("smnd.metadata"), R"("Author":"me")");
}

TEST_CASE("an alphabet that does not fit the model, or is not wanted, is refused", "[formats]") {
  const auto refused = [](const RawSmnd& file, std::string_view alphabet, std::string_view part) {
    const std::string bytes = file.bytes();
    const auto result = read_smnd(as_bytes(bytes), "x.smnd", AlphabetText{alphabet, "a.txt"}, nullptr);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::bad_argument);
    CHECK_HAS(result.error().message, part);
    CHECK_HAS(result.error().message, "'a.txt'");
  };
  refused({}, "abcde", "5 different characters, but the model's VocabSize is 6");
  refused({}, "abcdefg", "7 different characters");
  refused({}, "", "empty");
  refused({}, "abcde\xFF", "no UTF-8 at byte 5");
  refused({}, "abcde\U0001F600", "at byte 5");
  RawSmnd own;
  own.extra = R"({"Alphabet":"abcdef"})";
  refused(own, "abcdef", "leave out --tokenizer");
}

TEST_CASE("an Alphabet in Extra is a vocabulary", "[formats]") {
  RawSmnd file;
  file.extra = R"({"Alphabet":"fedcba abc"})";
  // A space and six letters: one too many for the model, which is the model room's to say.
  CHECK(tokens_of(read(file.bytes())) == std::vector<std::string>{" ", "a", "b", "c", "d", "e", "f"});
  CHECK(image(read(file.bytes())) == file.bytes());
}

TEST_CASE("any vocabulary of GGUF goes through Extra and back", "[formats]") {
  const auto path = shared_data("models/nano/nano-gpt2.gguf");
  if (!path) return;
  const auto nano = open_checkpoint(*path);
  if (!nano) FAIL(nano.error().message);
  const std::string plain = RawSmnd().bytes();
  Checkpoint model = read(plain);
  Metadata metadata;
  for (const auto& [key, value] : nano->metadata) {
    if (key.starts_with("tokenizer.") || key == "general.name") metadata.insert(key, value);
  }
  const std::size_t kept = metadata.size();
  for (const auto& [key, value] : model.metadata) metadata.insert(key, value);
  model.metadata = std::move(metadata);

  const std::string file = image(model);
  const Checkpoint again = read(file);
  std::size_t found = 0;
  for (const auto& [key, value] : nano->metadata) {
    if (!key.starts_with("tokenizer.") && key != "general.name") continue;
    INFO(key);
    REQUIRE(again.metadata.find(key) != nullptr);
    CHECK((*again.metadata.find(key) == value));
    ++found;
  }
  CHECK(found == kept);
  CHECK(image(again) == file);
}

TEST_CASE("a tied model is written with its embedding twice", "[formats]") {
  const std::string file = RawSmnd().bytes();
  Checkpoint model = read(file);
  model.tensors.pop_back();
  const std::string untied = image(model);
  const Checkpoint again = read(untied);
  REQUIRE(again.find("output.weight") != nullptr);
  CHECK(std::memcmp(again.find("output.weight")->data.data(), model.find("token_embd.weight")->data.data(),
                    6 * 4 * 4) == 0);
}

TEST_CASE("what SMND cannot express is refused by name when it is written", "[formats]") {
  const std::string file = RawSmnd().bytes();
  const auto refused = [&](Errc code, std::string_view part, auto change) {
    Checkpoint model = read(file);
    change(model);
    const auto result = smnd_image(model);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == code);
    CHECK_HAS(result.error().message, part);
  };
  const auto set = [](Checkpoint& model, const char* changed, std::optional<MetadataValue> to) {
    Metadata out;
    if (to) out.insert(changed, *to);
    for (const auto& [key, value] : model.metadata) {
      if (key != changed) out.insert(key, value);
    }
    model.metadata = std::move(out);
  };
  using std::string;
  using std::uint64_t;
  refused(Errc::unsupported, "'llama'", [&](auto& m) { set(m, "general.architecture", string("llama")); });
  refused(Errc::bad_file, "'general.architecture' is missing",
          [&](auto& m) { set(m, "general.architecture", std::nullopt); });
  refused(Errc::unsupported, "layer_norm_epsilon is 0.001",
          [&](auto& m) { set(m, "gpt2.attention.layer_norm_epsilon", 1e-3); });
  refused(Errc::unsupported, "block_count is 833",
          [&](auto& m) { set(m, "gpt2.block_count", uint64_t{833}); });
  refused(Errc::unsupported, "block_count is 1844674407370955161",
          [&](auto& m) { set(m, "gpt2.block_count", uint64_t{1844674407370955161}); });
  refused(Errc::bad_file, "blk.1.attn_norm.weight is missing",
          [&](auto& m) { set(m, "gpt2.block_count", uint64_t{2}); });
  refused(Errc::unsupported, "position_embd.weight is [5, 4], not [6, 4]",
          [&](auto& m) { set(m, "gpt2.context_length", uint64_t{6}); });
  refused(Errc::unsupported, "NumHeads 3",
          [&](auto& m) { set(m, "gpt2.attention.head_count", uint64_t{3}); });
  refused(Errc::unsupported, "'general.name' holds text that is no UTF-8",
          [&](auto& m) { set(m, "general.name", string("\xFF")); });
  refused(Errc::unsupported, "takes 1048", [&](auto& m) { set(m, "general.name", string(1 << 20, 'x')); });
  refused(Errc::unsupported, "no place for tensor 'rope_freqs.weight'",
          [](auto& m) { m.tensors.push_back(m.tensors[2]), m.tensors.back().name = "rope_freqs.weight"; });
  refused(Errc::unsupported, "token_embd.weight has type F16",
          [](auto& m) { m.tensors[0].type = TensorType::f16; });
  refused(Errc::bad_file, "element 0 of tensor token_embd.weight", [](auto& m) {
    static const std::string infinite = [] {
      std::string out;
      for (int i = 0; i < 24; ++i) out += raw(HUGE_VALF);
      return out;
    }();
    m.tensors[0].data = as_bytes(infinite);
  });
}

}  // namespace
}  // namespace troupe
