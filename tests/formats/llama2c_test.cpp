#include "formats/llama2c.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include "formats/open.hpp"
#include "tests/formats/raw_file.hpp"
#include "tests/support/check_has.hpp"
#include "tests/support/shared_data.hpp"
#include "tests/support/temporary_folder.hpp"

namespace troupe {
namespace {

using namespace test;

Result<Checkpoint> parse(const std::string& file, const std::string& tokenizer) {
  return read_llama2c(as_bytes(file), "x.bin", as_bytes(tokenizer), "t.bin", nullptr);
}

float first(const TensorView* tensor) {
  float value = 0;
  std::memcpy(&value, tensor->data.data(), sizeof(value));
  return value * 1024.0F;
}

TEST_CASE("llama2.c tensors get GGUF's names, shapes and their own bytes", "[formats]") {
  const std::string file = RawLlama2c().bytes();
  const std::string tokenizer = RawTokenizer().bytes();
  const auto result = parse(file, tokenizer);
  if (!result) FAIL(result.error().message);
  CHECK(result->format == "llama2.c v0");
  CHECK(result->tensors.size() == 2 + 9 * 2);
  struct Expected {
    const char* name;
    std::vector<std::uint64_t> dims;
    int first;  // counted by hand: dim 8, hidden 12, 2 layers, kv_dim 4, vocab 5
  };
  const Expected expected[] = {
      {"token_embd.weight", {5, 8}, 0},          {"blk.0.attn_norm.weight", {8}, 40},
      {"blk.1.attn_norm.weight", {8}, 48},       {"blk.0.attn_q.weight", {8, 8}, 56},
      {"blk.1.attn_q.weight", {8, 8}, 120},      {"blk.0.attn_k.weight", {4, 8}, 184},
      {"blk.1.attn_k.weight", {4, 8}, 216},      {"blk.0.attn_v.weight", {4, 8}, 248},
      {"blk.0.attn_output.weight", {8, 8}, 312}, {"blk.0.ffn_norm.weight", {8}, 440},
      {"blk.0.ffn_gate.weight", {12, 8}, 456},   {"blk.0.ffn_down.weight", {8, 12}, 648},
      {"blk.1.ffn_down.weight", {8, 12}, 744},   {"blk.0.ffn_up.weight", {12, 8}, 840},
      {"output_norm.weight", {8}, 1032},
  };
  for (const Expected& e : expected) {
    INFO(e.name);
    const TensorView* tensor = result->find(e.name);
    REQUIRE(tensor != nullptr);
    CHECK(tensor->dims == e.dims);
    CHECK(tensor->type == TensorType::f32);
    CHECK(first(tensor) == static_cast<float>(e.first));
    CHECK(tensor->data.size() == 4 * tensor->elements());
  }
  CHECK(result->find("output.weight") == nullptr);
  CHECK(*result->metadata.need_u64("llama.context_length") == 6);
  CHECK(*result->metadata.need_u64("llama.attention.head_count_kv") == 1);
}

TEST_CASE("a negative vocab_size means that the classifier is in the file, behind the unused tables",
          "[formats]") {
  RawLlama2c model;
  model.vocab_size = -5;
  const std::string file = model.bytes();
  const std::string tokenizer = RawTokenizer().bytes();
  const auto result = parse(file, tokenizer);
  if (!result) FAIL(result.error().message);
  CHECK(*result->metadata.need_u64("llama.vocab_size") == 5);
  const TensorView* output = result->find("output.weight");
  REQUIRE(output != nullptr);
  CHECK(output->dims == std::vector<std::uint64_t>{5, 8});
  CHECK(first(output) == 1040 + 6 * 4);  // behind output_norm and two tables of [6, 2]
}

TEST_CASE("llama2.c pieces get GGUF's spelling and types", "[formats]") {
  const std::string file = RawLlama2c().bytes();
  const std::string tokenizer = RawTokenizer().bytes();
  const auto result = parse(file, tokenizer);
  REQUIRE(result);
  const std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "<0x0A>", "▁a▁b"};
  CHECK(**result->metadata.get_strings("tokenizer.ggml.tokens") == tokens);
  CHECK(**result->metadata.get_i64s("tokenizer.ggml.token_type") == std::vector<std::int64_t>{2, 3, 3, 6, 1});
  CHECK(**result->metadata.get_f64s("tokenizer.ggml.scores") == std::vector<double>{0, -1, -2, -3, -4});
}

TEST_CASE("the llama2.c and the GGUF file of one model agree in all that both have", "[formats]") {
  const auto bin_path = shared_data("models/stories260K/stories260K.bin");
  const auto gguf_path = shared_data("models/stories260K/stories260Ktok512.gguf");
  if (!bin_path || !gguf_path) return;
  const auto bin = open_checkpoint(*bin_path);
  const auto gguf = open_checkpoint(*gguf_path);
  if (!bin) FAIL(bin.error().message);
  REQUIRE(gguf);

  std::size_t compared = 0;
  for (const auto& [key, value] : gguf->metadata) {
    const MetadataValue* other = bin->metadata.find(key);
    // The converter that made the GGUF wrote a context of its own, shorter than the one trained with.
    if (other == nullptr || key == "llama.context_length") continue;
    INFO(key);
    CHECK(*other == value);
    ++compared;
  }
  CHECK(compared == 15);
  CHECK(*bin->metadata.need_u64("llama.context_length") == 512);

  for (const TensorView& tensor : gguf->tensors) {
    INFO(tensor.name);
    // Tied: the GGUF holds the embedding twice.
    const TensorView* other = bin->find(tensor.name == "output.weight" ? "token_embd.weight" : tensor.name);
    REQUIRE(other != nullptr);
    CHECK(other->dims == tensor.dims);
    REQUIRE(other->data.size() == tensor.data.size());
    CHECK(std::memcmp(other->data.data(), tensor.data.data(), tensor.data.size()) == 0);
  }
  CHECK(bin->tensors.size() == 47);
}

TEST_CASE("impossible llama2.c headers are not taken for one", "[formats]") {
  const auto header = [](auto change) {
    RawLlama2c model;
    change(model);
    std::string bytes = raw(model.dim) + raw(model.hidden_dim) + raw(model.layers) + raw(model.heads) +
                        raw(model.kv_heads) + raw(model.vocab_size) + raw(model.seq_len);
    return parse_llama2c_header(as_bytes(bytes)).has_value();
  };
  constexpr std::int32_t min_i32 = std::numeric_limits<std::int32_t>::min();
  constexpr std::int32_t max_i32 = std::numeric_limits<std::int32_t>::max();
  CHECK(header([](RawLlama2c&) {}));
  for (const std::int32_t wrong : {0, -1, min_i32, max_i32}) {
    INFO(wrong);
    CHECK_FALSE(header([&](RawLlama2c& m) { m.dim = wrong; }));
    CHECK_FALSE(header([&](RawLlama2c& m) { m.hidden_dim = wrong; }));
    CHECK_FALSE(header([&](RawLlama2c& m) { m.layers = wrong; }));
    CHECK_FALSE(header([&](RawLlama2c& m) { m.heads = wrong; }));
    CHECK_FALSE(header([&](RawLlama2c& m) { m.kv_heads = wrong; }));
    CHECK_FALSE(header([&](RawLlama2c& m) { m.seq_len = wrong; }));
    if (wrong != -1) CHECK_FALSE(header([&](RawLlama2c& m) { m.vocab_size = wrong; }));
  }
  CHECK_FALSE(header([](RawLlama2c& m) { m.heads = 3; }));     // dim 8 is no multiple
  CHECK_FALSE(header([](RawLlama2c& m) { m.kv_heads = 4; }));  // more than heads
  CHECK_FALSE(header([](RawLlama2c& m) { m.heads = 8; }));     // heads of one element cannot rotate
}

TEST_CASE("a llama2.c file size that overflows is only very large", "[formats]") {
  RawLlama2c model;
  model.dim = model.hidden_dim = model.layers = model.vocab_size = model.seq_len = 1 << 24;
  model.heads = model.kv_heads = 1;
  const std::string bytes = raw(model.dim) + raw(model.hidden_dim) + raw(model.layers) + raw(model.heads) +
                            raw(model.kv_heads) + raw(model.vocab_size) + raw(model.seq_len);
  const auto header = parse_llama2c_header(as_bytes(bytes));
  REQUIRE(header);
  CHECK(header->file_bytes() == std::numeric_limits<std::uint64_t>::max());
  const auto result = parse(bytes, RawTokenizer().bytes());
  REQUIRE_FALSE(result);
  CHECK_HAS(result.error().message, "n_layers 16777216");
  CHECK_HAS(result.error().message, "file size 28 bytes");
}

TEST_CASE("a llama2.c checkpoint of the wrong size names its header and both sizes", "[formats]") {
  const std::string file = RawLlama2c().bytes();
  const auto result = parse(file.substr(0, file.size() - 1), RawTokenizer().bytes());
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::bad_file);
  CHECK_HAS(result.error().message, "'x.bin'");
  CHECK_HAS(result.error().message, "dim 8");
  CHECK_HAS(result.error().message, std::to_string(file.size()) + " bytes");
  CHECK_HAS(result.error().message, "file size " + std::to_string(file.size() - 1) + " bytes");
}

TEST_CASE("a weight that is no number is refused by its place", "[formats]") {
  for (const float wrong : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    std::string file = RawLlama2c().bytes();
    std::memcpy(file.data() + 28 + 4 * (184 + 31), &wrong, sizeof(wrong));
    const auto result = parse(file, RawTokenizer().bytes());
    REQUIRE_FALSE(result);
    CHECK_HAS(result.error().message, "element 31 of tensor blk.0.attn_k.weight");
  }
}

TEST_CASE("a llama2.c tokenizer that does not fit is refused by the token at fault", "[formats]") {
  const std::string file = RawLlama2c().bytes();
  const auto says = [&](const RawTokenizer& tokenizer, std::string_view part) {
    const auto result = parse(file, tokenizer.bytes());
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::bad_file);
    CHECK_HAS(result.error().message, "'t.bin'");
    CHECK_HAS(result.error().message, part);
  };
  RawTokenizer tokenizer;
  tokenizer.tail = "x";
  says(tokenizer, "1 bytes follow the last of the model's 5 tokens");
  tokenizer = {};
  tokenizer.pieces.pop_back();
  says(tokenizer, "score of token 4");
  tokenizer = {};
  tokenizer.max_token_length = 5;
  says(tokenizer, "length of token 2 is 6");
  tokenizer.max_token_length = 0;
  says(tokenizer, "max_token_length is 0");
  tokenizer.max_token_length = -1;
  says(tokenizer, "max_token_length is -1");

  for (const std::int32_t wrong :
       {-1, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
    std::string bytes = RawTokenizer().bytes();
    std::memcpy(bytes.data() + 8, &wrong, sizeof(wrong));
    const auto result = parse(file, bytes);
    REQUIRE_FALSE(result);
    CHECK_HAS(result.error().message, "length of token 0 is " + std::to_string(wrong));
  }
  std::string bytes = RawTokenizer().bytes();
  const float nan = std::nanf("");
  std::memcpy(bytes.data() + 4, &nan, sizeof(nan));
  const auto result = parse(file, bytes);
  REQUIRE_FALSE(result);
  CHECK_HAS(result.error().message, "score of token 0");
}

TEST_CASE("a vocabulary without room for BOS and EOS is refused", "[formats]") {
  RawLlama2c model;
  model.vocab_size = 2;
  RawTokenizer tokenizer;
  tokenizer.pieces.resize(2);
  const auto result = parse(model.bytes(), tokenizer.bytes());
  REQUIRE_FALSE(result);
  CHECK_HAS(result.error().message, "vocab_size is 2");
}

TEST_CASE("the tokenizer is looked for beside the model, the most specific name first", "[formats]") {
  const TemporaryFolder folder;
  const auto model = folder.file("story.bin", RawLlama2c().bytes());
  const auto nothing = open_checkpoint(model);
  REQUIRE_FALSE(nothing);
  CHECK(nothing.error().code == Errc::bad_argument);
  for (const char* name : {"story.tokenizer.bin", "tok5.bin", "'tokenizer.bin'", "--tokenizer"}) {
    CHECK_HAS(nothing.error().message, name);
  }
  OpenCheckpointOptions optional;
  optional.vocabulary_optional = true;
  const auto without = open_checkpoint(model, optional);
  REQUIRE(without);
  const auto kind = without->metadata.need_string("tokenizer.ggml.model");
  REQUIRE(kind);
  CHECK(*kind == "none");
  const auto last_piece = [&](const OpenCheckpointOptions& options) -> std::string {
    const auto opened = open_checkpoint(model, options);
    if (!opened) return opened.error().message;
    return (*opened->metadata.get_strings("tokenizer.ggml.tokens"))->back();
  };
  const auto put = [&](const char* name) {
    RawTokenizer tokenizer;
    tokenizer.max_token_length = 100;
    tokenizer.pieces.back() = name;
    return folder.file(name, tokenizer.bytes());
  };
  for (const char* name : {"tokenizer.bin", "tok5.bin", "story.tokenizer.bin"}) {
    put(name);
    CHECK(last_piece({}) == name);
  }
  CHECK(last_piece({put("other")}) == "other");
  CHECK_HAS(last_piece({folder.path() / "absent"}), "absent");
  CHECK_HAS(last_piece({folder.path() / "absent", true}), "absent");
  CHECK(last_piece({{}, true}) == "story.tokenizer.bin");
}

}  // namespace
}  // namespace troupe
