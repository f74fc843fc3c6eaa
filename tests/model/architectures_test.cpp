// Every architecture against llama.cpp's logits, and the promise of same bits for each.
//
// llama_cpp_logits.txt has a line per case and position: the name, a bar, the position, six logits. To make
// it anew, write the models with TROUPE_TOYS=FOLDER test_model "[.write]" and let llama.cpp, with a KV cache
// in f32 and no flash attention, compute the logits of toy_tokens() for each of them.

#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

#include "formats/gguf_writer.hpp"
#include "model/evaluate.hpp"
#include "model/forward.hpp"
#include "support/catch.hpp"
#include "support/toy_architecture.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

using Row = std::vector<float>;

/// Longer than the windows and than two pages.
std::vector<Token> toy_tokens() {
  std::vector<Token> tokens;
  for (int i = 0; i < 70; ++i) tokens.push_back((i * 97 + i * i * 13 + 5) % 282 + 3);
  return tokens;
}

std::shared_ptr<const Model> load(const ToyArchitecture& toy) {
  const auto model = load_model(toy_checkpoint(toy), "toy", {}, {});
  if (!model) FAIL(toy.name << ": " << model.error().message);
  return *model;
}

std::vector<Row> logits_of(const Model& model, const std::vector<Token>& tokens,
                           const EngineOptions& options = {}) {
  const auto rows = evaluate_logits(model, tokens, true, options);
  if (!rows) FAIL(rows.error().message);
  return *rows;
}

struct Expected {
  std::size_t position;
  double logits[6];  // of the tokens 3, 53, 103, …
};

/// By the name of the case.
std::map<std::string, std::vector<Expected>> read_expected() {
  std::ifstream file(TROUPE_LLAMA_CPP_LOGITS);
  REQUIRE(file);
  std::map<std::string, std::vector<Expected>> all;
  for (std::string line; std::getline(file, line);) {
    const std::size_t bar = line.find('|');
    REQUIRE(bar != std::string::npos);
    std::istringstream numbers(line.substr(bar + 1));
    Expected expected{};
    numbers >> expected.position;
    for (double& logit : expected.logits) numbers >> logit;
    REQUIRE(numbers);
    all[line.substr(0, bar)].push_back(expected);
  }
  return all;
}

}  // namespace

TEST_CASE("every architecture gives llama.cpp's logits", "[model]") {
  const auto expected = read_expected();
  CHECK(expected.size() == toy_architectures().size());
  for (const ToyArchitecture& toy : toy_architectures()) {
    INFO(toy.name);
    REQUIRE(expected.count(toy.name) == 1);
    const auto model = load(toy);
    const std::vector<Row> logits = logits_of(*model, toy_tokens());
    // ggml's gelu goes by way of f16, where a difference in the last bits can become one of 5e-4; that many
    // layers add up.
    const bool gelu = has_gelu(model->parts().config.architecture.feed_forward);
    const double allowed = !gelu ? 3e-4 : toy.layers > 10 ? 3e-2 : 4e-3;
    double difference = 0;
    for (const Expected& row : expected.at(toy.name)) {
      for (std::size_t i = 0; i < 6; ++i) {
        const double got = static_cast<double>(logits.at(row.position).at(3 + 50 * i));
        difference = std::max(difference, std::abs(row.logits[i] - got));
      }
    }
    CHECK(difference <= allowed);
  }
}

TEST_CASE("every architecture gives the same bits in any company, cut, and number of threads", "[model]") {
  const KvPrecision precision = GENERATE(KvPrecision::f16, KvPrecision::q8_0);
  const std::vector<Token> tokens = toy_tokens();
  for (const ToyArchitecture& toy : toy_architectures()) {
    if (toy.layers > 10) continue;  // the same layers as the small ones
    INFO(toy.name << (precision == KvPrecision::f16 ? ", f16" : ", q8_0"));
    const auto model = load(toy);
    EngineOptions options;
    options.kv_precision = precision;
    options.context_tokens = 128;
    options.step_tokens_max = 1;
    options.threads = 1;
    const std::vector<Row> alone = logits_of(*model, tokens, options);
    options.step_tokens_max = 23;
    options.threads = 2;
    CHECK((logits_of(*model, tokens, options) == alone));

    // Beside another sequence, which is ahead, in one batch.
    ThreadPool pool(2);
    KvCache cache(model->parts().config, kv_type_of(precision), 16);
    Forward forward(model->parts(), cache, pool, 128);
    for (const SequenceId id : {1, 2}) REQUIRE(cache.open(id, 128));
    const auto run = [&](std::size_t first_of_1, std::size_t of_1, std::size_t first_of_2, std::size_t of_2) {
      StepBatch batch;
      for (std::size_t i = 0; i < of_2; ++i)
        batch.rows.push_back({2, static_cast<std::uint32_t>(first_of_2 + i), tokens[of_2 - i], false});
      for (std::size_t i = 0; i < of_1; ++i)
        batch.rows.push_back({1, static_cast<std::uint32_t>(first_of_1 + i), tokens[first_of_1 + i], true});
      LogitsBlock logits;
      forward.run(batch, logits);
      bool same = logits.rows == of_1;
      for (std::size_t i = 0; i < logits.rows; ++i)
        same = same && std::memcmp(logits.row(i).data(), alone[first_of_1 + i].data(),
                                   logits.vocab * sizeof(float)) == 0;
      return same;
    };
    CHECK(run(0, 1, 0, 40));
    CHECK(run(1, 30, 40, 1));
    CHECK(run(31, 39, 41, 7));
  }
}

TEST_CASE("a layer with a window sees no further than that", "[model]") {
  std::vector<Token> tokens = toy_tokens();
  for (const char* architecture : {"llama", "phi3"}) {
    ToyArchitecture toy{.name = "window", .architecture = architecture};
    const std::vector<Row> unlimited = logits_of(*load(toy), tokens);
    toy.keys = {{"attention.sliding_window", std::uint64_t{70}}};
    CHECK((logits_of(*load(toy), tokens) == unlimited));
    toy.keys = {{"attention.sliding_window", std::uint64_t{0}}};
    CHECK((logits_of(*load(toy), tokens) == unlimited));
    toy.keys = {{"attention.sliding_window", std::uint64_t{16}}};
    const auto model = load(toy);
    const std::vector<Row> before = logits_of(*model, tokens);
    CHECK(before[15] == unlimited[15]);
    CHECK(before[16] != unlimited[16]);
    // Through two layers of 16 positions, 30 back is the furthest that anything comes from.
    std::vector<Token> changed = tokens;
    changed[20] = 4;
    const std::vector<Row> after = logits_of(*model, changed);
    CHECK(after[50] != before[50]);
    CHECK(after[51] == before[51]);
  }
}

TEST_CASE("long contexts rotate by the long factors, where a file tells them apart", "[model]") {
  ToyArchitecture toy{.name = "long", .architecture = "phi3"};
  toy.keys = {{"rope.scaling.original_context_length", std::uint64_t{300}}};
  toy.rope_tensors = {{"rope_factors_short.weight", 1}, {"rope_factors_long.weight", 9}};
  const auto model = load(toy);
  CHECK(*resolve_context_tokens(*model, 0) == 300);  // the shorter texts are better off with the short ones
  EngineOptions options;
  options.context_tokens = 300;
  const std::vector<Row> short_rows = logits_of(*model, toy_tokens(), options);
  const ToyArchitecture without{.name = "without factors", .architecture = "phi3"};
  CHECK(short_rows == logits_of(*load(without), toy_tokens()));
  options.context_tokens = 301;
  CHECK(logits_of(*model, toy_tokens(), options) != short_rows);
}

TEST_CASE("writes the models of the architectures' test as files", "[.write]") {
  const char* folder = std::getenv("TROUPE_TOYS");
  REQUIRE(folder != nullptr);
  for (const ToyArchitecture& toy : toy_architectures()) {
    const Checkpoint checkpoint = toy_checkpoint(toy);
    REQUIRE(write_gguf(std::filesystem::path(folder) / (toy.name + ".gguf"), checkpoint.metadata,
                       checkpoint.tensors));
  }
}
