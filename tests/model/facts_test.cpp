#include "model/facts.hpp"

#include "model/model_parts.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "support/toy_architecture.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace troupe::test;

TEST_CASE("a model's facts are known without loading it, and are those of the loaded one", "[model]") {
  for (const ToyArchitecture& toy : toy_architectures()) {
    INFO(toy.name);
    const Checkpoint checkpoint = toy_checkpoint(toy);
    const auto facts = model_facts(checkpoint);
    REQUIRE(facts);
    const auto model = load_model(checkpoint, "toy", {}, {});
    REQUIRE(model);
    CHECK(facts->weight_bytes == (*model)->info().weight_bytes);
    CHECK(facts->all_f32);
    CHECK(facts->kv_bytes_per_1024_tokens ==
          std::uint64_t{2} * toy.layers * toy.kv_heads * toy.head_dim * 1024 * sizeof(float));
    // A byte per number, and two for each 32 of a head that begin.
    if (toy.head_dim % 4 == 0)
      CHECK(facts->kv_bytes_per_1024_tokens_q8_0 == std::uint64_t{2} * toy.layers * toy.kv_heads * 1024 *
                                                        (toy.head_dim + (toy.head_dim + 31) / 32 * 2));
    CHECK_FALSE(positions_text(checkpoint, facts->config).empty());
  }
}

TEST_CASE("positions and shape are told to people", "[model]") {
  const auto text = [](const ToyArchitecture& toy) {
    const Checkpoint checkpoint = toy_checkpoint(toy);
    const auto facts = model_facts(checkpoint);
    REQUIRE(facts);
    return positions_text(checkpoint, facts->config) + "|" + shape_text(facts->config);
  };
  const auto named = [](const std::string& name) {
    for (const ToyArchitecture& toy : toy_architectures()) {
      if (toy.name == name) return toy;
    }
    FAIL("there is no " << name);
    return ToyArchitecture{};
  };
  CHECK(text(named("llama")) ==
        "rotary, base 10000, 16 of the 16 in a head|2 layers of 64, 4 heads of 16, 2 for keys and values, "
        "feed-forward 96");
  CHECK_HAS(text(named("llama, yarn")), "yarn scaling by 4");
  CHECK_HAS(text(named("llama, linear of old")), "linear scaling by 4");
  CHECK_HAS(text(named("llama, rope_freqs")), "frequency factors");
  CHECK_HAS(text(named("gemma3")), "base 1000000");
  CHECK_HAS(text(named("gemma3")), "a sliding window of 16 in 7 of the layers");
  CHECK_HAS(text(named("phi3, long factors")), "8 of the 16 in a head");
  CHECK_HAS(text(named("phi3, long factors")), "other factors beyond 255 tokens");
}

TEST_CASE("what is wrong with a model's tensors is found before any is packed", "[model]") {
  Checkpoint checkpoint = toy_checkpoint();
  checkpoint.tensors.back().name = "blk.1.ffn_strange.weight";
  std::string duplicate;
  REQUIRE(checkpoint.build_index(duplicate));
  int calls = 0;
  const auto model = load_model(checkpoint, "toy", {}, [&](double) { return ++calls > 0; });
  REQUIRE_FALSE(model);
  CHECK_HAS(model.error().message, "blk.1.ffn_strange.weight");
  CHECK(calls == 0);
}
