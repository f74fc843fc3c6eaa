// GPT-2-style models, from SMND files and from GGUF.

#include <boost/json.hpp>
#include <fstream>

#include "formats/gguf_writer.hpp"
#include "formats/open.hpp"
#include "model/evaluate.hpp"
#include "model/model_parts.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "support/shared_data.hpp"
#include "support/temporary_folder.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using Rows = std::vector<std::vector<float>>;

std::shared_ptr<const Model> open(const std::filesystem::path& path) {
  const auto model = Model::open(path);
  if (!model) FAIL(model.error().message);
  return *model;
}

Rows logits_of(const Model& model, const std::vector<Token>& tokens, const EngineOptions& options = {}) {
  const auto rows = evaluate_logits(model, tokens, true, options);
  if (!rows) FAIL(rows.error().message);
  return *rows;
}

const std::vector<Token> nano_tokens{1,  403, 407, 261, 378, 432, 383, 286, 261, 376, 300, 17,
                                     45, 99,  200, 301, 411, 5,   8,   77,  256, 499, 31,  64};

}  // namespace

TEST_CASE("logits of the SmallMind demonstration agree with those computed in double precision", "[model]") {
  const auto path = shared_data("smnd/demo-model.smnd");
  if (!path) return;
  const auto model = open(*path);
  CHECK(model->info().architecture == "gpt2");
  CHECK(model->info().format == "SMND v1");
  const std::string text = TemporaryFolder::read(*shared_data("smnd/demo-model.logits.json"));
  const boost::json::value expected = boost::json::parse(text);
  double difference = 0;
  for (const boost::json::value& entry : expected.at("cases").as_array()) {
    const auto tokens = boost::json::value_to<std::vector<Token>>(entry.at("tokens"));
    const auto want = boost::json::value_to<std::vector<double>>(entry.at("logits"));
    const std::vector<float> got = logits_of(*model, tokens).back();
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < want.size(); ++i)
      difference = std::max(difference, std::abs(want[i] - static_cast<double>(got[i])));
  }
  INFO("largest difference " << difference);
  CHECK(difference < 1e-5);
}

TEST_CASE("logits of the GGUF architecture gpt2 agree with llama.cpp", "[model]") {
  const auto path = shared_data("models/nano/nano-gpt2.gguf");
  if (!path) return;
  const Rows logits = logits_of(*open(*path), nano_tokens);
  const std::string bytes = TemporaryFolder::read(*shared_data("models/nano/nano-gpt2.f32"));
  REQUIRE(bytes.size() == nano_tokens.size() * 512 * sizeof(float));
  double difference = 0;
  for (std::size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
    float want = 0;
    std::memcpy(&want, bytes.data() + i * sizeof(float), sizeof want);
    difference = std::max(difference, std::abs(static_cast<double>(want - logits[i / 512][i % 512])));
  }
  INFO("largest difference " << difference);
  CHECK(difference <= 1e-3);
}

TEST_CASE("a gpt2 model gives the same bits however its prompt is cut and on any number of threads",
          "[model]") {
  const auto path = shared_data("models/nano/nano-gpt2.gguf");
  if (!path) return;
  const auto model = open(*path);
  const Rows whole = logits_of(*model, nano_tokens);
  for (const std::uint32_t step : {1U, 5U, 23U}) {
    EngineOptions options;
    options.step_tokens_max = step;
    options.threads = step == 5 ? 1 : 2;
    CHECK((logits_of(*model, nano_tokens, options) == whole));
  }
}

TEST_CASE("a converted SMND model computes the same logits from GGUF", "[model]") {
  const auto path = shared_data("smnd/demo-model.smnd");
  if (!path) return;
  const TemporaryFolder folder;
  const auto checkpoint = open_checkpoint(*path);
  REQUIRE(checkpoint);
  REQUIRE(write_gguf(folder.path() / "a.gguf", checkpoint->metadata, checkpoint->tensors));
  const std::vector<Token> tokens{3, 1, 4, 1, 5, 9, 2, 6};
  CHECK((logits_of(*open(folder.path() / "a.gguf"), tokens) == logits_of(*open(*path), tokens)));
}

TEST_CASE("learned positions end where the model's table ends", "[model]") {
  const auto path = shared_data("smnd/demo-model.smnd");
  if (!path) return;
  const auto model = open(*path);
  CHECK(*resolve_context_tokens(*model, 0) == 32);
  CHECK(*resolve_context_tokens(*model, 7) == 7);
  const auto beyond = resolve_context_tokens(*model, 33);
  REQUIRE_FALSE(beyond);
  CHECK(beyond.error().code == Errc::bad_argument);
  CHECK_HAS(beyond.error().message, "context_tokens is 33");
  CHECK_HAS(beyond.error().message, "32 positions");
  CHECK(logits_of(*model, std::vector<Token>(32, 1)).size() == 32);
  const auto too_long = evaluate_logits(*model, std::vector<Token>(33, 1), false);
  REQUIRE_FALSE(too_long);
  CHECK(too_long.error().code == Errc::context_exceeded);
}

TEST_CASE("a model without a vocabulary takes token ids and refuses text by saying why", "[model]") {
  const auto path = shared_data("smnd/demo-model.smnd");
  if (!path) return;
  const auto model = open(*path);
  CHECK(model->tokenizer().vocab_size() == 50);
  const auto encoded = model->tokenizer().encode("hello");
  REQUIRE_FALSE(encoded);
  CHECK(encoded.error().code == Errc::bad_argument);
  CHECK_HAS(encoded.error().message, "--tokenizer");
}

TEST_CASE("a gpt2 model that lacks a bias of its norms, or has a tensor too many, is refused by name",
          "[model]") {
  const auto path = shared_data("smnd/demo-model.smnd");
  if (!path) return;
  const auto refused = [&](std::string_view part, auto change) {
    auto checkpoint = open_checkpoint(*path);
    REQUIRE(checkpoint);
    change(checkpoint->tensors);
    const auto model = load_model(*checkpoint, "x", {}, {});
    REQUIRE_FALSE(model);
    CHECK_HAS(model.error().message, part);
  };
  using Tensors = std::vector<TensorView>;
  refused("blk.0.attn_norm.bias is missing", [](Tensors& t) { t.erase(t.begin() + 3); });
  refused("position_embd.weight is missing", [](Tensors& t) { t.erase(t.begin() + 1); });
  refused("blk.1.ffn_gate.weight is not part of this architecture", [](Tensors& t) {
    t.push_back(t[4]);
    t.back().name = "blk.1.ffn_gate.weight";
  });
  refused("blk.0.attn_qkv.weight is [64, 192]; expected [192, 64]", [](Tensors& t) {
    t[4].dims = {64, 192};
  });
}
