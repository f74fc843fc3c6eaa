#include "model/perplexity.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/samples.hpp"
#include "model/evaluate.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "support/shared_data.hpp"
#include "support/temporary_folder.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

std::vector<Token> some_tokens(std::size_t count) {
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < count; ++i) tokens.push_back(static_cast<Token>((i * 31 + i * i * 7) % 285));
  return tokens;
}

/// From the definition, window by window.
double expected_perplexity(const Model& model, const std::vector<Token>& text, std::size_t window,
                           std::size_t windows) {
  double sum = 0;
  std::size_t scored = 0;
  for (std::size_t w = 0; w < windows; ++w) {
    std::vector<Token> tokens(text.begin() + static_cast<std::ptrdiff_t>(w * window),
                              text.begin() + static_cast<std::ptrdiff_t>((w + 1) * window));
    tokens[0] = *model.tokenizer().bos();
    const auto logits = evaluate_logits(model, tokens, true);
    REQUIRE(logits);
    for (std::size_t i = window / 2; i + 1 < window; ++i) {
      double total = 0;
      for (const float logit : (*logits)[i]) total += std::exp(static_cast<double>(logit));
      sum += std::log(total) - static_cast<double>((*logits)[i][static_cast<std::size_t>(tokens[i + 1])]);
      ++scored;
    }
  }
  return std::exp(sum / static_cast<double>(scored));
}

}  // namespace

TEST_CASE("perplexity is that of the second halves of the text's windows", "[model]") {
  const auto model = toy_model();
  const std::vector<Token> text = some_tokens(205);
  for (const std::uint32_t window : {4U, 7U, 50U, 205U}) {
    INFO("window " << window);
    const auto got = evaluate_perplexity(*model, text, {.window_tokens = window});
    REQUIRE(got);
    CHECK(got->windows == 205 / window);
    CHECK(got->scored == got->windows * (window - 1 - window / 2));
    CHECK(got->perplexity == Approx(expected_perplexity(*model, text, window, got->windows)).epsilon(1e-5));
    CHECK(got->standard_error >= 0);
  }
  const auto limited = evaluate_perplexity(*model, text, {.window_tokens = 50, .windows_max = 3});
  REQUIRE(limited);
  CHECK(limited->windows == 3);
  CHECK(limited->perplexity == Approx(expected_perplexity(*model, text, 50, 3)).epsilon(1e-5));
}

TEST_CASE("perplexity has the same bits on any number of threads", "[model]") {
  const auto model = toy_model();
  const std::vector<Token> text = some_tokens(400);
  const auto one = evaluate_perplexity(*model, text, {.window_tokens = 40, .threads = 1});
  const auto two = evaluate_perplexity(*model, text, {.window_tokens = 40, .threads = 2});
  REQUIRE(one);
  REQUIRE(two);
  CHECK(one->perplexity == two->perplexity);
}

TEST_CASE("a damaged scale is found out, whatever the weights' type", "[model]") {
  for (const TensorType type : {TensorType::f16, TensorType::q8_0, TensorType::q4_0, TensorType::q6_k}) {
    INFO(tensor_type_info(type).name);
    ToyShape shape;
    shape.type = type;
    if (tensor_type_info(type).block_elements == 256) shape.width = shape.ffn_width = 256;
    Checkpoint checkpoint = toy_checkpoint(shape);
    // One number of a feed-forward block's inner ones is NaN then, and all the others are sound.
    auto damaged =
        std::find_if(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                     [](const TensorView& tensor) { return tensor.name == "blk.1.ffn_up.weight"; });
    REQUIRE(damaged != checkpoint.tensors.end());
    std::vector<std::byte> bytes(damaged->data.begin(), damaged->data.end());
    bytes[f16_offsets(type)[0]] = std::byte{0};
    bytes[f16_offsets(type)[0] + 1] = std::byte{0x7E};
    damaged->data = bytes;
    const auto model = load_model(std::move(checkpoint), "toy", {}, {});
    REQUIRE(model);
    const auto result = evaluate_perplexity(**model, some_tokens(100), {.window_tokens = 50});
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::bad_file);
    CHECK_HAS(result.error().message, "damaged");
  }
}

TEST_CASE("perplexity refuses what has nothing to score, and can be given up", "[model]") {
  const auto model = toy_model();
  const auto refused = [&](std::size_t tokens, std::uint32_t window) {
    const auto result = evaluate_perplexity(*model, some_tokens(tokens), {.window_tokens = window});
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::bad_argument);
    return result.error().message;
  };
  CHECK_HAS(refused(100, 3), "a window of 3 tokens");
  CHECK_HAS(refused(99, 100), "99 tokens, less than a window of 100");
  CHECK_HAS(refused(0, 0), "less than a window of 512");
  std::vector<double> shares;
  REQUIRE(evaluate_perplexity(*model, some_tokens(3000), {.window_tokens = 100}, [&](double share) {
    shares.push_back(share);
    return true;
  }));
  CHECK(shares.size() > 2);
  CHECK(std::is_sorted(shares.begin(), shares.end()));
  CHECK(shares.back() == 1);
  const auto given_up =
      evaluate_perplexity(*model, some_tokens(3000), {.window_tokens = 100}, [](double) { return false; });
  REQUIRE_FALSE(given_up);
  CHECK(given_up.error().code == Errc::cancelled);
}

TEST_CASE("the perplexity of WikiText is llama.cpp's", "[model]") {
  const auto text_path = shared_data("eval/wiki.test.raw");
  struct Case {
    const char* file;
    double llama_cpp;  // 20 windows of 256, KV cache in f32
  };
  for (const Case& c :
       {Case{"stories260Ktok512.gguf", 116.249660}, Case{"stories260K-Q8_0.gguf", 116.433757}}) {
    const auto path = shared_data(std::string("models/stories260K/") + c.file);
    if (!path || !text_path) return;
    const auto model = Model::open(*path);
    REQUIRE(model);
    // The first 20 windows are well within this.
    const std::string text = TemporaryFolder::read(*text_path).substr(0, 40000);
    const auto tokens = (*model)->tokenizer().encode(text, {true, false});
    REQUIRE(tokens);
    const auto got = evaluate_perplexity(**model, *tokens, {.window_tokens = 256, .windows_max = 20});
    REQUIRE(got);
    CHECK(got->windows == 20);
    CHECK(got->perplexity == Approx(c.llama_cpp).epsilon(0.002));
    const auto q8_0 = evaluate_perplexity(
        **model, *tokens, {.window_tokens = 256, .windows_max = 20, .kv_precision = KvPrecision::q8_0});
    REQUIRE(q8_0);
    CHECK(q8_0->perplexity != got->perplexity);
    CHECK(q8_0->perplexity == Approx(got->perplexity).epsilon(0.005));
  }
}
