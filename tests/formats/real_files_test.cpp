// Every model and vocabulary file among the shared test data.

#include <algorithm>
#include <string>

#include "formats/open.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/shared_data.hpp"

namespace troupe {
namespace {

TEST_CASE("the stories model opens with its metadata and tensors", "[formats]") {
  const auto path = test::shared_data("models/stories260K/stories260Ktok512.gguf");
  if (!path) return;
  auto opened = open_checkpoint(*path);
  REQUIRE(opened);
  const Checkpoint& model = *opened;
  CHECK(model.format == "GGUF v3");
  CHECK(model.file_bytes == 1185376);
  CHECK(model.metadata.size() == 19);
  CHECK(*model.metadata.need_string("general.architecture") == "llama");
  CHECK(*model.metadata.need_u64("llama.feed_forward_length") == 172);
  CHECK(*model.metadata.need_u64("tokenizer.ggml.padding_token_id") == 0xFFFFFFFF);
  CHECK(**model.metadata.get_f64("llama.attention.layer_norm_rms_epsilon") == static_cast<double>(1e-5F));
  const auto tokens = model.metadata.get_strings("tokenizer.ggml.tokens");
  REQUIRE(tokens);
  REQUIRE(*tokens != nullptr);
  CHECK((*tokens)->size() == 512);
  CHECK((*tokens)->at(3) == "<0x00>");

  CHECK(model.tensors.size() == 48);
  const TensorView* down = model.find("blk.0.ffn_down.weight");
  REQUIRE(down != nullptr);
  CHECK(down->dims == std::vector<std::uint64_t>{64, 172});  // 64 outputs, 172 inputs
  CHECK(down->data.size() == 64 * 172 * 4);
  CHECK(model.find("blk.5.ffn_down.weight") == nullptr);
}

TEST_CASE("every shared GGUF file opens", "[formats]") {
  for (const char* folder : {"models", "vocab"}) {
    const auto root = test::shared_data(folder);
    if (!root) return;
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(*root)) {
      if (entry.path().extension() != ".gguf") continue;
      INFO(entry.path());
      auto opened = open_checkpoint(entry.path());
      if (!opened) FAIL(opened.error().message);
      CHECK(opened->metadata.contains("general.architecture"));
      CHECK(opened->metadata.contains("tokenizer.ggml.tokens"));
      const bool vocabulary = entry.path().filename().string().find("vocab") != std::string::npos;
      CHECK(opened->tensors.empty() == vocabulary);
      ++files;
    }
    CHECK(files > 2);
  }
}

}  // namespace
}  // namespace troupe
