#include "model/requantize.hpp"

#include <boost/json.hpp>
#include <cmath>
#include <cstring>

#include "formats/gguf_writer.hpp"
#include "formats/open.hpp"
#include "kernels/quantize.hpp"
#include "kernels/samples.hpp"
#include "model/evaluate.hpp"
#include "model/model_parts.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "support/shared_data.hpp"
#include "support/temporary_folder.hpp"
#include "support/tensor_maker.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

Checkpoint requantized(const Checkpoint& source, TensorType type, std::vector<std::string>* notes = nullptr) {
  std::vector<std::string> said;
  auto result = requantize(source, type, 0, said);
  if (!result) FAIL(result.error().message);
  if (notes != nullptr) *notes = said;
  return *std::move(result);
}

Checkpoint opened(const std::filesystem::path& path) {
  auto checkpoint = open_checkpoint(path);
  if (!checkpoint) FAIL(checkpoint.error().message);
  return *std::move(checkpoint);
}

bool same_data(const TensorView& a, const TensorView& b) {
  return a.type == b.type && a.dims == b.dims && a.data.size() == b.data.size() &&
         std::memcmp(a.data.data(), b.data.data(), a.data.size()) == 0;
}

std::shared_ptr<const Model> reopened(const Checkpoint& checkpoint, const TemporaryFolder& folder) {
  const auto path = folder.path() / "model.gguf";
  if (const Status status = write_gguf(path, checkpoint.metadata, checkpoint.tensors); !status)
    FAIL(status.error().message);
  const auto model = Model::open(path);
  if (!model) FAIL(model.error().message);
  return *model;
}

}  // namespace

TEST_CASE("an F32 model requantized here has the bytes that llama.cpp gives it", "[model]") {
  const auto source = shared_data("models/nano/nano-llama.gguf");
  if (!source) return;
  struct Case {
    const char* file;
    TensorType type;
  };
  for (const Case& c :
       {Case{"nano-llama-Q8_0.gguf", TensorType::q8_0}, Case{"nano-llama-F16.gguf", TensorType::f16}}) {
    INFO(c.file);
    const Checkpoint expected = opened(*shared_data(std::string("models/nano/") + c.file));
    const Checkpoint original = opened(*source);
    const Checkpoint got = requantized(original, c.type);
    REQUIRE(got.tensors.size() == expected.tensors.size());
    for (const TensorView& tensor : expected.tensors) {
      INFO(tensor.name);
      REQUIRE(got.find(tensor.name) != nullptr);
      CHECK(same_data(*got.find(tensor.name), tensor));
    }
    CHECK(*got.metadata.need_u64("general.file_type") == *expected.metadata.need_u64("general.file_type"));
  }
}

TEST_CASE("K-quants made here are as near to the weights as llama.cpp's", "[model]") {
  const auto source = shared_data("models/nano/nano-llama.gguf");
  if (!source) return;
  const Checkpoint original = opened(*source);
  for (const auto* file : {"nano-llama-Q4_K_M.gguf", "nano-llama-Q6_K.gguf", "nano-llama-Q4_0.gguf"}) {
    const Checkpoint theirs = opened(*shared_data(std::string("models/nano/") + file));
    double our_error = 0, their_error = 0;
    std::size_t compared = 0;
    for (const TensorView& tensor : theirs.tensors) {
      if (tensor_type_info(tensor.type).block_elements == 1) continue;
      INFO(file << " " << tensor.name << " " << tensor_type_info(tensor.type).name);
      const TensorView& plain = *original.find(tensor.name);
      std::vector<float> values(plain.elements()), back(values.size());
      decode_row(plain.type, plain.data, values);
      std::vector<std::byte> bytes(tensor.data.size());
      encode_row(tensor.type, values, bytes);
      if (tensor.type == TensorType::q4_0)
        CHECK(std::memcmp(bytes.data(), tensor.data.data(), bytes.size()) == 0);
      const auto squares = [&](std::span<const std::byte> encoded) {
        decode_row(tensor.type, encoded, back);
        double sum = 0;
        for (std::size_t i = 0; i < back.size(); ++i)
          sum += (static_cast<double>(back[i]) - values[i]) * (static_cast<double>(back[i]) - values[i]);
        return sum;
      };
      our_error += squares(bytes), their_error += squares(tensor.data);
      ++compared;
    }
    INFO(file << ": " << our_error << " against " << their_error);
    CHECK(compared > 10);
    CHECK(our_error <= 1.02 * their_error);
  }
}

TEST_CASE("a model requantized to Q8_0 predicts as llama.cpp's quantized one does", "[model]") {
  const auto source = shared_data("models/nano/nano-llama.gguf");
  if (!source) return;
  const TemporaryFolder folder;
  const Checkpoint original = opened(*source);
  const auto model = reopened(requantized(original, TensorType::q8_0), folder);
  const std::vector<Token> tokens{1,  403, 407, 261, 378, 432, 383, 286, 261, 376, 300, 17,
                                  45, 99,  200, 301, 411, 5,   8,   77,  256, 499, 31,  64};
  const auto logits = evaluate_logits(*model, tokens, true);
  REQUIRE(logits);
  const std::string bytes = TemporaryFolder::read(*shared_data("models/nano/nano-llama-Q8_0.f32"));
  REQUIRE(bytes.size() == tokens.size() * 512 * sizeof(float));
  double divergence = 0;
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    std::vector<float> want(512);
    std::memcpy(want.data(), bytes.data() + t * 512 * sizeof(float), 512 * sizeof(float));
    double want_sum = 0, got_sum = 0;
    for (std::size_t i = 0; i < 512; ++i) want_sum += std::exp(want[i]), got_sum += std::exp((*logits)[t][i]);
    for (std::size_t i = 0; i < 512; ++i) {
      const double p = std::exp(want[i]) / want_sum;
      divergence +=
          p * std::log(p / (std::exp((*logits)[t][i]) / got_sum)) / static_cast<double>(tokens.size());
    }
  }
  INFO("mean KL " << divergence);
  CHECK(divergence <= 0.002);
}

TEST_CASE("a llama2.c checkpoint written as GGUF continues as the reference does", "[model]") {
  const auto source = shared_data("models/stories260K/stories260K.bin");
  if (!source) return;
  const TemporaryFolder folder;
  const Checkpoint checkpoint = opened(*source);
  const auto model = reopened(checkpoint, folder);
  const auto reference =
      boost::json::parse(TemporaryFolder::read(*shared_data("models/stories260K/reference_greedy.json")));
  std::size_t steps = 0;
  for (const auto& entry : reference.at("results").as_array()) {
    std::vector<Token> tokens = boost::json::value_to<std::vector<Token>>(entry.at("prompt_tokens"));
    CHECK((*model->tokenizer().encode(std::string(entry.at("prompt").as_string()), {true, false}) == tokens));
    for (const auto& step : entry.at("steps").as_array()) {
      const auto row = evaluate_logits(*model, tokens, false);
      REQUIRE(row);
      const auto best = std::max_element(row->front().begin(), row->front().end()) - row->front().begin();
      REQUIRE(best == step.at("top5").at(0).at(0).as_int64());
      tokens.push_back(static_cast<Token>(best));
      ++steps;
    }
  }
  CHECK(steps > 20);
}

TEST_CASE("rows that are no multiple of a block keep their type, and that is said", "[model]") {
  ToyShape shape;
  shape.ffn_width = 100;  // the rows of ffn_down
  const Checkpoint toy = toy_checkpoint(shape);
  std::vector<std::string> notes;
  const Checkpoint quantized = requantized(toy, TensorType::q4_0, &notes);
  REQUIRE(notes.size() == shape.layers);
  CHECK_HAS(notes[0], "tensor blk.0.ffn_down.weight stays F32: its rows of 100");
  for (const TensorView& tensor : quantized.tensors) {
    INFO(tensor.name);
    const bool stays = tensor.dims.size() == 1 || tensor.name.find("ffn_down") != std::string::npos;
    CHECK(tensor.type == (stays ? TensorType::f32 : TensorType::q4_0));
    if (stays) CHECK(same_data(tensor, *toy.find(tensor.name)));
  }
  CHECK(*quantized.metadata.need_u64("general.file_type") == 2);
  // Nor are rows of 64 one of 256: the others get blocks of 32 with no fewer bits.
  struct Case {
    TensorType type, instead;
    std::uint64_t file_type;
  };
  for (const Case& c :
       {Case{TensorType::q4_k, TensorType::q5_0, 14}, Case{TensorType::q5_k, TensorType::q5_1, 16},
        Case{TensorType::q6_k, TensorType::q8_0, 18}}) {
    const Checkpoint other = requantized(toy, c.type, &notes);
    CHECK(other.find("blk.0.attn_q.weight")->type == c.instead);
    CHECK(other.find("blk.0.ffn_down.weight")->type == TensorType::f32);
    CHECK(other.find("blk.0.attn_norm.weight")->type == TensorType::f32);
    CHECK_HAS(notes[1],
              "tensor blk.0.attn_q.weight becomes " + std::string(tensor_type_info(c.instead).name));
    CHECK(*other.metadata.need_u64("general.file_type") == c.file_type);
  }
  CHECK(*quantized.metadata.need_u64("general.quantization_version") == 2);
  // F16 has no blocks, and leads back from there.
  const Checkpoint halves = requantized(toy, TensorType::f16, &notes);
  CHECK(notes.empty());
  CHECK(halves.find("blk.0.ffn_down.weight")->type == TensorType::f16);
  CHECK_FALSE(requantized(quantized, TensorType::f16).metadata.contains("general.quantization_version"));
}

TEST_CASE("what the kernels of matrices do not read keeps its type", "[model]") {
  Checkpoint source;
  TensorMaker make(source, 1);
  const char* kept[] = {"blk.0.attn_q_norm.weight", "blk.0.ffn_gate_inp.weight", "blk.0.ssm_conv1d.weight",
                        "blk.0.shortconv.conv.weight", "token_types.weight"};
  for (const char* name : kept) make.add(name, TensorType::f32, {2, 64}, 1);
  make.add("blk.0.shortconv.in_proj.weight", TensorType::f32, {2, 64}, 1);
  make.add("blk.0.attn_norm.weight", TensorType::f16, {64}, 1);
  source.storage = make.storage();
  std::string duplicate;
  REQUIRE(source.build_index(duplicate));
  const Checkpoint quantized = requantized(source, TensorType::q8_0);
  for (const char* name : kept) {
    INFO(name);
    CHECK(same_data(*quantized.find(name), *source.find(name)));
  }
  CHECK(quantized.find("blk.0.shortconv.in_proj.weight")->type == TensorType::q8_0);
  CHECK(quantized.find("blk.0.attn_norm.weight")->type == TensorType::f32);
}

TEST_CASE("quantized weights decode to what their kernels multiply", "[model]") {
  ToyShape shape;
  for (const TensorType type : all_types) {
    if (type == TensorType::f32) continue;
    shape.type = type;
    if (tensor_type_info(type).block_elements == 256) shape.width = shape.ffn_width = 256;
    const Checkpoint toy = toy_checkpoint(shape);
    const Checkpoint plain = requantized(toy, TensorType::f32);
    // Encoding what was decoded gives the same bytes of a type without blocks: nothing is lost through f32.
    const bool float_type = type == TensorType::f16 || type == TensorType::bf16;
    const Checkpoint again = float_type ? requantized(plain, type) : Checkpoint();
    for (const TensorView& tensor : toy.tensors) {
      INFO(tensor.name << " " << tensor_type_info(type).name);
      CHECK(plain.find(tensor.name)->type == TensorType::f32);
      if (float_type) CHECK(same_data(*again.find(tensor.name), tensor));
    }
    const auto a = load_model(toy, "a", {}, {});
    const auto b = load_model(plain, "b", {}, {});
    REQUIRE(a);
    REQUIRE(b);
    const std::vector<Token> tokens{1, 260, 270, 280};
    const auto of_a = evaluate_logits(**a, tokens, false);
    const auto of_b = evaluate_logits(**b, tokens, false);
    double difference = 0, largest = 0;
    for (std::size_t i = 0; i < of_a->front().size(); ++i) {
      difference = std::max(difference, std::abs(static_cast<double>(of_a->front()[i] - of_b->front()[i])));
      largest = std::max(largest, std::abs(static_cast<double>(of_b->front()[i])));
    }
    // The kernels of quantized weights round their inputs to int8, and the cache is f16.
    INFO(tensor_type_info(type).name << ": " << difference << " of " << largest);
    CHECK(difference < 0.05 * largest);
  }
}

TEST_CASE("what cannot be converted is refused by its tensor", "[model]") {
  std::vector<std::string> notes;
  Checkpoint toy = toy_checkpoint();
  std::vector<float> values(64 * 64, 1.0F);
  TensorView& query = toy.tensors[2];
  REQUIRE(query.name == "blk.0.attn_q.weight");
  query.data = std::as_bytes(std::span(values));
  const auto refused = [&](TensorType type, Errc code, std::string_view part) {
    const auto result = requantize(toy, type, 1, notes);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == code);
    CHECK_HAS(result.error().message, "tensor blk.0.attn_q.weight");
    CHECK_HAS(result.error().message, part);
  };
  values[70] = 1e6F;
  refused(TensorType::f16, Errc::unsupported, "too large for F16");
  values[70] = 1e7F;
  refused(TensorType::q8_0, Errc::unsupported, "too large for Q8_0");
  refused(TensorType::q4_0, Errc::unsupported, "too large for Q4_0");
  refused(TensorType::q4_1, Errc::unsupported, "too large for Q4_1");
  values[70] = std::nanf("");
  refused(TensorType::q8_0, Errc::bad_file, "not a number");
  query.type = TensorType::iq2_xxs;
  refused(TensorType::q8_0, Errc::unsupported, "IQ2_XXS, which cannot be decoded; supported: F32, F16, BF16");

  const Checkpoint whole = toy_checkpoint();
  const auto given_up =
      requantize(whole, TensorType::f16, 1, notes, [](double share) { return share < 0.5; });
  REQUIRE_FALSE(given_up);
  CHECK(given_up.error().code == Errc::cancelled);
}
