#include "model/config.hpp"

#include <cmath>

#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "support/toy_architecture.hpp"
#include "support/toy_model.hpp"

using namespace troupe;

namespace {

/// The toy checkpoint with one key set to another value.
Checkpoint with(const std::string& key, MetadataValue value) {
  Checkpoint checkpoint = test::toy_checkpoint();
  Metadata changed;
  changed.insert(key, std::move(value));
  for (const auto& [other, kept] : checkpoint.metadata) changed.insert(other, kept);
  checkpoint.metadata = std::move(changed);
  return checkpoint;
}

std::string load_error(const Checkpoint& checkpoint) {
  const auto model = load_model(checkpoint, "toy", {}, {});
  return model ? std::string() : model.error().message;
}

}  // namespace

TEST_CASE("a configuration that makes no sense is refused by the name of its key", "[model]") {
  const auto u = [](std::uint64_t value) { return MetadataValue(value); };
  const std::pair<std::string, MetadataValue> cases[] = {
      {"general.architecture", std::string("mamba")},
      {"llama.block_count", u(0)},
      {"llama.block_count", u(1U << 20)},
      {"llama.block_count", u(3)},
      {"llama.embedding_length", u(0)},
      {"llama.embedding_length", u(63)},
      {"llama.embedding_length", u(std::uint64_t{1} << 40)},
      {"llama.attention.head_count", u(0)},
      {"llama.attention.head_count", u(7)},
      {"llama.attention.head_count_kv", u(3)},
      {"llama.feed_forward_length", u(0)},
      {"llama.context_length", u(0)},
      {"llama.attention.layer_norm_rms_epsilon", -1.0},
      {"llama.rope.dimension_count", u(3)},
      {"llama.rope.dimension_count", u(64)},
      {"llama.rope.freq_base", 0.0},
      {"llama.rope.scaling.type", std::string("dynamic")},
      {"llama.attention.key_length", u(32)},
      {"llama.attention.value_length", u(8)},
      {"llama.expert_count", u(8)},
      {"llama.block_count", std::string("two")},
      {"llama.feed_forward_length", std::vector<std::int64_t>{96, 64}},
      {"llama.feed_forward_length", std::vector<std::int64_t>{}},
      {"llama.attention.head_count_kv", std::vector<std::int64_t>{-2, -2}},
      {"llama.attention.sliding_window", -1.0},
      {"llama.attention.scale", -1.0},
      {"llama.rope.scaling.factor", std::nan("")},
      {"llama.rope.scaling.attn_factor", 0.0},
  };
  for (const auto& [key, value] : cases) {
    const std::string message = load_error(with(key, value));
    INFO(key << ": " << message);
    CHECK_FALSE(message.empty());
    CHECK(message.find('\n') == std::string::npos);
    // The key itself, or the first tensor whose shape no longer fits.
    CHECK((message.find(key) != std::string::npos || message.find("tensor ") != std::string::npos));
  }
}

TEST_CASE("a mixture of experts is refused as what it is", "[model]") {
  const std::string unknown = load_error(with("general.architecture", std::string("qwen3moe")));
  CHECK_HAS(unknown, "'qwen3moe', a mixture of experts, which is not supported; supported: llama, ");
  CHECK_HAS(load_error(with("llama.expert_count", std::uint64_t{8})), "llama.expert_count is 8");
  Checkpoint by_key = with("general.architecture", std::string("deepseek2"));
  by_key.metadata.insert("deepseek2.expert_count", std::uint64_t{64});
  CHECK_HAS(load_error(by_key), "'deepseek2', a mixture of experts");
  CHECK(load_error(with("general.architecture", std::string("t5"))).find("experts") == std::string::npos);
  CHECK(load_error(with("llama.expert_count", std::uint64_t{0})).empty());
}

TEST_CASE("the first files of MiniCPM state no scales, and have the model's", "[model]") {
  const auto config = read_config(test::toy_checkpoint({.name = "minicpm", .architecture = "minicpm"}));
  REQUIRE(config);
  CHECK(config->embedding_scale == 12);
  CHECK(config->residual_scale == static_cast<float>(1.4 / std::sqrt(2)));
  CHECK(config->logit_scale == 4);  // 256 / 64; such models are wider, and it is less than 1
}

TEST_CASE("a tensor of a type without a kernel is refused by both names", "[model]") {
  Checkpoint toy = test::toy_checkpoint();
  TensorView& query = toy.tensors.at(2);
  query.type = TensorType::mxfp4;
  CHECK_HAS(load_error(toy), "tensor blk.0.attn_q.weight has type MXFP4; supported: F32, F16, ");
}

TEST_CASE("a number for each layer is one number where they are alike", "[model]") {
  const auto config = read_config(with("llama.attention.head_count_kv", std::vector<std::int64_t>{2, 2}));
  REQUIRE(config);
  CHECK(config->kv_heads == 2);
}

TEST_CASE("which layers have a window goes by the file's pattern, then by the architecture's", "[model]") {
  const auto layers = [](const MetadataValue& pattern) {
    Checkpoint checkpoint = with("llama.attention.sliding_window", std::uint64_t{16});
    checkpoint.metadata.insert("llama.attention.sliding_window_pattern", pattern);
    const auto config = read_config(checkpoint);
    REQUIRE(config);
    return std::pair(config->is_windowed(0), config->is_windowed(1));
  };
  CHECK(layers(std::vector<std::uint64_t>{0, 1}) == std::pair(false, true));
  CHECK(layers(std::vector<std::int64_t>{1, 0}) == std::pair(true, false));
  CHECK(layers(std::uint64_t{2}) == std::pair(true, false));
  CHECK(layers(std::uint64_t{1}) == std::pair(true, true));
  Checkpoint wrong = with("llama.attention.sliding_window", std::uint64_t{16});
  wrong.metadata.insert("llama.attention.sliding_window_pattern", std::vector<std::uint64_t>{1, 0, 1});
  CHECK_HAS(load_error(wrong), "sliding_window_pattern has 3 entries for 2 layers");
  CHECK_FALSE(read_config(test::toy_checkpoint())->is_windowed(0));
}

TEST_CASE("yarn stretches slow pairs, keeps fast ones and scales what is rotated", "[model]") {
  Checkpoint checkpoint = with("llama.rope.scaling.type", std::string("yarn"));
  checkpoint.metadata.insert("llama.rope.scaling.factor", 4.0);
  checkpoint.metadata.insert("llama.rope.scaling.original_context_length", std::uint64_t{512});
  const auto config = read_config(checkpoint);
  const auto plain = read_config(test::toy_checkpoint());
  REQUIRE(config);
  const auto& stretched = config->rope.full.frequencies;
  const auto& before = plain->rope.full.frequencies;
  CHECK(stretched.front() == Approx(before.front()));
  CHECK(stretched.back() == Approx(before.back() / 4));
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(stretched[i] <= before[i] * (1 + 1e-12));
    CHECK(stretched[i] >= before[i] / 4 * (1 - 1e-12));
  }
  CHECK(config->rope.full.magnitude == Approx(1 + 0.1 * std::log(4)));
}

TEST_CASE("heads and head size whose product leaves 32 bits are refused", "[model]") {
  // 4194305 * 1024 is 1024 in 32 bits: every tensor's shape would seem to fit.
  Checkpoint checkpoint = with("llama.attention.head_count", std::uint64_t{(1U << 22) + 1});
  checkpoint.metadata.insert("llama.attention.key_length", std::uint64_t{1024});
  CHECK_FALSE(load_error(checkpoint).empty());
  Checkpoint within = with("llama.attention.head_count", std::uint64_t{1U << 14});
  within.metadata.insert("llama.attention.key_length", std::uint64_t{1U << 10});
  CHECK(load_error(within).find("head_count") != std::string::npos);
}

TEST_CASE("a missing, misshapen or unknown tensor is refused by name", "[model]") {
  Checkpoint missing = test::toy_checkpoint();
  std::string duplicate;
  missing.tensors.erase(missing.tensors.begin() + 3);
  const std::string name = test::toy_checkpoint().tensors[3].name;
  REQUIRE(missing.build_index(duplicate));
  CHECK(load_error(missing) == "tensor " + name + " is missing");

  Checkpoint extra = test::toy_checkpoint();
  TensorView copy = extra.tensors[1];
  copy.name = "blk.0.attn_surprise.weight";
  extra.tensors.push_back(copy);
  REQUIRE(extra.build_index(duplicate));
  CHECK(load_error(extra).find("blk.0.attn_surprise.weight") != std::string::npos);

  Checkpoint misshapen = test::toy_checkpoint();
  std::swap(misshapen.tensors[0].dims[0], misshapen.tensors[0].dims[1]);
  CHECK(load_error(misshapen).find("token") != std::string::npos);
}

TEST_CASE("loading reports progress and can be given up", "[model]") {
  double last = 0;
  int calls = 0;
  const auto model = load_model(test::toy_checkpoint(), "toy", {}, [&](double share) {
    CHECK(share >= last);
    last = share;
    ++calls;
    return true;
  });
  CHECK(model);
  CHECK(last == 1.0);
  CHECK(calls >= 3);
  const auto given_up = load_model(test::toy_checkpoint(), "toy", {}, [](double) { return false; });
  REQUIRE(!given_up);
  CHECK(given_up.error().code == Errc::cancelled);
}

TEST_CASE("rotary frequencies follow base, scaling and the file's factors", "[model]") {
  const auto plain = read_config(test::toy_checkpoint());
  REQUIRE(plain);
  REQUIRE(plain->rope.full.frequencies.size() == 8);
  CHECK(plain->rope.full.frequencies[0] == 1.0);
  CHECK(plain->rope.full.frequencies[4] == Approx(0.01));
  Checkpoint scaled = with("llama.rope.scaling.factor", 4.0);
  scaled.metadata.insert("llama.rope.scaling.type", std::string("linear"));
  CHECK(read_config(scaled)->rope.full.frequencies[4] == Approx(0.0025));
}
