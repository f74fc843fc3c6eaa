// A model that was trained here, opened as any other.

#include "train/export.hpp"

#include <algorithm>
#include <clocale>
#include <cmath>
#include <string>
#include <vector>

#include "base/decimal.hpp"
#include "base/random.hpp"
#include "model/evaluate.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "train/loss_curve.hpp"
#include "train/network.hpp"
#include "train/texts.hpp"

using namespace troupe;
using namespace troupe::train;
using namespace troupe::test;

namespace {

constexpr const char* prompt = "The owl sang to the eel by the mill";

Metadata vocabulary(const std::string& kind) {
  const TemporaryFolder folder;
  const std::filesystem::path paths[] = {folder.file("text.txt", verses())};
  const auto files = read_texts(paths);
  REQUIRE(files);
  auto metadata = learn_vocabulary(*parse_vocabulary(kind), *files, {});
  REQUIRE(metadata);
  return std::move(*metadata);
}

/// Exports lively weights as `type`, opens them and compares logits; the largest difference.
double difference_after_export(ModelShape shape, const std::string& kind, TensorType type) {
  const TemporaryFolder folder;
  const Metadata words = vocabulary(kind);
  shape.vocab = (*words.get_strings("tokenizer.ggml.tokens"))->size();
  shape.context = 40;
  REQUIRE(check_shape(shape));
  ThreadPool pool(2);
  Network network(shape, 1, pool);
  std::vector<float> parameters(network.layout().count);
  for (const Parameter& p : network.layout().parameters)
    for (std::size_t i = p.offset; i < p.offset + p.count; ++i)
      parameters[i] = p.fill + 0.3f * (2 * static_cast<float>(uniform_at(7, i)) - 1);
  const auto path = folder.path() / "model.gguf";
  const Status written = export_model(path, shape, network.layout(), parameters.data(), words, "toy", type);
  if (!written) FAIL(written.error().message);

  const auto model = Model::open(path);
  if (!model) FAIL(model.error().message);
  CHECK((*model)->info().name == "toy");
  CHECK((*model)->info().architecture == (shape.style == Style::llama ? "llama" : "gpt2"));
  CHECK((*model)->info().context_tokens == 40);
  CHECK((*model)->info().parameters == network.layout().count);
  const auto tokens = (*model)->tokenizer().encode(prompt, {true, false});
  REQUIRE(tokens);
  CHECK((*model)->tokenizer().decode(*tokens) == prompt);
  CHECK(tokens->front() == static_cast<Token>(shape.vocab - 1));
  std::vector<float> expected(tokens->size() * shape.vocab);
  network.logits(parameters.data(), *tokens, expected.data());
  const auto found = evaluate_logits(**model, *tokens, true);
  if (!found) FAIL(found.error().message);
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const auto want = static_cast<double>(expected[i]);
    largest = std::max(largest, std::fabs(want));
    difference = std::max(difference,
                          std::fabs(want - static_cast<double>((*found)[i / shape.vocab][i % shape.vocab])));
  }
  CHECK(largest > 0.5);
  return difference;
}

ModelShape toy(Style style, std::size_t kv_heads, bool tied) {
  ModelShape s;
  s.style = style;
  s.layers = 2, s.width = 64, s.heads = 4, s.kv_heads = kv_heads, s.ffn = 96, s.tied = tied;
  return s;
}

}  // namespace

TEST_CASE("an exported llama-style model has the trainer's logits", "[train][export]") {
  CHECK(difference_after_export(toy(Style::llama, 4, true), "char", TensorType::f32) < 1e-4);
  CHECK(difference_after_export(toy(Style::llama, 4, true), "bpe:300", TensorType::f32) < 1e-4);
}

TEST_CASE("an exported model with shared keys and an output matrix of its own has the trainer's logits",
          "[train][export]") {
  CHECK(difference_after_export(toy(Style::llama, 2, false), "char", TensorType::f32) < 1e-4);
  CHECK(difference_after_export(toy(Style::llama, 1, false), "bpe:300", TensorType::f32) < 1e-4);
}

TEST_CASE("an exported gpt2-style model has the trainer's logits", "[train][export]") {
  CHECK(difference_after_export(toy(Style::gpt2, 4, true), "char", TensorType::f32) < 1e-4);
  CHECK(difference_after_export(toy(Style::gpt2, 4, true), "bpe:300", TensorType::f32) < 1e-4);
  CHECK(difference_after_export(toy(Style::gpt2, 4, false), "bpe:300", TensorType::f32) < 1e-4);
}

TEST_CASE("an exported model whose matrices are rounded stays near the trainer's logits", "[train][export]") {
  CHECK(difference_after_export(toy(Style::llama, 2, true), "char", TensorType::f16) < 0.05);
  CHECK(difference_after_export(toy(Style::llama, 2, true), "char", TensorType::q8_0) < 0.5);
  CHECK(difference_after_export(toy(Style::gpt2, 4, true), "char", TensorType::q8_0) < 0.5);
}

TEST_CASE("numbers in files are those of the C locale", "[train]") {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  for (const char* locale : {"C", "de_DE.UTF-8", "fr_FR.UTF-8"}) {
    std::setlocale(LC_ALL, locale);  // stays as it is where the machine has no such locale
    CHECK(fixed_decimal(1234.5678, 2) == "1234.57");
    CHECK(fixed_decimal(0.5, 0) == "0");
    CHECK(fixed_decimal(-1e300, 1).size() == 304);
    CHECK(short_decimal(0.1) == "0.1");
    CHECK(short_decimal(1e-8) == "1e-08");
    CHECK(short_decimal(3.0000001, 8) == "3.0000001");
  }
  std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("a loss curve leaves out what is no number and escapes its title", "[train]") {
  History history;
  for (int i = 0; i < 1000; ++i) history.losses.push_back(4.0f - 0.003f * static_cast<float>(i));
  history.losses[5] = std::nanf("");
  history.validations = {{500, 2.6}, {1000, 1.25}};
  const std::string svg = loss_curve_svg(history, "a < b & c");
  CHECK_HAS(svg, "<svg xmlns=");
  CHECK_HAS(svg, "a &lt; b &amp; c");
  CHECK_HAS(svg, "best 1.2500");
  CHECK(svg.find("nan") == std::string::npos);
  CHECK(svg.find("inf") == std::string::npos);
  CHECK_HAS(loss_curve_svg({}, "nothing yet"), "</svg>");
}
