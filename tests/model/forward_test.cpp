// Promise P1 at the model: a row's logits have the same bits in any company, cut, and number of threads.

#include <algorithm>
#include <cstring>
#include <fstream>

#include "kernels/samples.hpp"
#include "model/evaluate.hpp"
#include "model/forward.hpp"
#include "support/catch.hpp"
#include "support/shared_data.hpp"
#include "support/subnormals_as_zeros.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using troupe::test::shared_data;
using troupe::test::ToyShape;

namespace {

using Row = std::vector<float>;

bool same_bits(const Row& a, const Row& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<Token> prompt(std::uint64_t seed, std::size_t size) {
  std::vector<Token> tokens(size);
  for (std::size_t i = 0; i < size; ++i) tokens[i] = static_cast<Token>((seed * 7919 + i * 31 + i * i) % 285);
  return tokens;
}

/// A model with its cache and threads, to run steps by hand.
struct Bench {
  Bench(std::shared_ptr<const Model> m, unsigned threads, KvType kv = KvType::f32)
      : model(std::move(m)),
        pool(threads),
        cache(model->parts().config, kv, 512),
        forward(model->parts(), cache, pool, context) {}

  /// Runs `tokens` of a sequence as one step, wanting every row's logits.
  std::vector<Row> step(SequenceId id, std::span<const Token> tokens) { return steps({{id, tokens}}); }

  std::vector<Row> steps(const std::vector<std::pair<SequenceId, std::span<const Token>>>& parts) {
    StepBatch batch;
    for (const auto& [id, tokens] : parts) {
      if (!cache.contains(id)) REQUIRE(cache.open(id, context));
      const auto length = static_cast<std::uint32_t>(cache.length(id));
      for (std::uint32_t i = 0; i < tokens.size(); ++i)
        batch.rows.push_back({id, length + i, tokens[i], true});
    }
    LogitsBlock logits;
    forward.run(batch, logits);
    std::vector<Row> rows;
    for (std::size_t i = 0; i < logits.rows; ++i)
      rows.emplace_back(logits.row(i).begin(), logits.row(i).end());
    return rows;
  }

  static constexpr std::size_t context = 640;
  std::shared_ptr<const Model> model;
  ThreadPool pool;
  KvCache cache;
  Forward forward;
};

}  // namespace

TEST_CASE("logits have the same bits alone, batched, joined midway, chunked, reused and threaded",
          "[model]") {
  const TensorType type = GENERATE(from_range(std::begin(test::all_types), std::end(test::all_types)));
  const KvType kv = GENERATE(KvType::f32, KvType::f16, KvType::q8_0);
  ToyShape shape;
  shape.type = type;
  if (tensor_type_info(type).block_elements == 256) shape.width = shape.ffn_width = 256;
  shape.tied_output = type == TensorType::f16;
  INFO(tensor_type_info(type).name);
  const auto model = test::toy_model(shape);
  const auto tokens = prompt(1, 100);

  // Alone, token by token, on one thread: what all the others must equal.
  std::vector<Row> alone;
  {
    Bench bench(model, 1, kv);
    for (const Token token : tokens) alone.push_back(bench.step(1, {&token, 1}).front());
  }
  const auto all_same = [&](const std::vector<Row>& rows, std::size_t first) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!same_bits(rows[i], alone[first + i])) return false;
    }
    return true;
  };

  SECTION("prefilled in chunks, with one and two threads") {
    for (const unsigned threads : {1U, 2U}) {
      for (const std::size_t chunk : {std::size_t{1}, std::size_t{7}, std::size_t{64}, tokens.size()}) {
        Bench bench(model, threads, kv);
        for (std::size_t i = 0; i < tokens.size(); i += chunk) {
          const auto part = std::span(tokens).subspan(i, std::min(chunk, tokens.size() - i));
          CHECK(all_same(bench.step(1, part), i));
        }
      }
    }
  }

  SECTION("in a batch of eight, and joined midway by others") {
    Bench bench(model, 2, kv);
    std::vector<std::vector<Token>> others;
    for (std::uint64_t s = 2; s <= 8; ++s) others.push_back(prompt(s, 100));
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::vector<std::pair<SequenceId, std::span<const Token>>> parts;
      // The row's place in the batch moves, and some of the others come and go.
      const std::size_t place = i % 8;
      for (std::size_t s = 0; s < 8; ++s) {
        if (s == place) parts.emplace_back(1, std::span(tokens).subspan(i, 1));
        if (s < 7 && (i + s) % 5 != 0) {
          const std::size_t at = bench.cache.contains(s + 2) ? bench.cache.length(s + 2) : 0;
          parts.emplace_back(s + 2, std::span(others[s]).subspan(at, 1));
        }
      }
      const auto rows = bench.steps(parts);
      std::size_t row = 0;
      while (parts[row].first != 1) ++row;
      REQUIRE(same_bits(rows[row], alone[i]));
    }
  }

  SECTION("from pages that were kept of a sequence that has ended") {
    Bench bench(model, 2, kv);
    bench.step(7, std::span(tokens).first(90));
    bench.cache.remember(7, std::span(tokens).first(90));
    bench.cache.close(7);
    REQUIRE(bench.cache.open(8, 128));
    REQUIRE(bench.cache.reuse_prefix(8, tokens) == 64);
    CHECK(all_same(bench.step(8, std::span(tokens).subspan(64)), 64));
  }

  SECTION("behind guesses that were wrong and were taken back, and as guesses that were right") {
    Bench bench(model, 2, kv);
    const auto wrong = prompt(9, 100);
    bench.step(7, std::span(tokens).first(40));
    bench.cache.remember(7, std::span(tokens).first(40));
    bench.cache.close(7);
    REQUIRE(bench.cache.open(8, 256));
    std::size_t length = bench.cache.reuse_prefix(8, tokens);
    REQUIRE(length == 32);
    // One token that is known and up to 39 guesses, of which the first few are right.
    for (std::size_t step = 0; length < tokens.size(); ++step) {
      const std::size_t right = std::min(step * 5 % 7, tokens.size() - length - 1);
      std::vector<Token> rows(tokens.begin() + static_cast<std::ptrdiff_t>(length),
                              tokens.begin() + static_cast<std::ptrdiff_t>(length + 1 + right));
      rows.insert(rows.end(), wrong.begin(), wrong.begin() + static_cast<std::ptrdiff_t>(step * 11 % 40));
      auto logits = bench.step(8, rows);
      logits.resize(1 + right);
      REQUIRE(all_same(logits, length));
      length += logits.size();
      bench.cache.truncate(8, length);
    }
  }
}

TEST_CASE("logits of long contexts have the same bits, whatever threads share them", "[model]") {
  const KvType kv = GENERATE(KvType::f32, KvType::f16, KvType::q8_0);
  const auto model = test::toy_model();
  const auto tokens = prompt(3, 600);
  Bench one(model, 1, kv);
  const auto whole = one.step(1, tokens);
  for (const unsigned threads : {1U, 2U, 5U}) {
    Bench bench(model, threads, kv);
    INFO(threads << " threads");
    // Alone, a few together, and beside others that are shorter.
    bench.step(1, std::span(tokens).first(570));
    CHECK(same_bits(bench.step(1, std::span(tokens).subspan(570, 1)).back(), whole[570]));
    const auto few = bench.step(1, std::span(tokens).subspan(571, 5));
    for (std::size_t i = 0; i < few.size(); ++i) CHECK(same_bits(few[i], whole[571 + i]));
    const auto beside = bench.steps({{2, std::span(tokens).first(3)},
                                     {1, std::span(tokens).subspan(576, 1)},
                                     {3, std::span(tokens).first(270)}});
    CHECK(same_bits(beside[3], whole[576]));
    CHECK(same_bits(beside[273], whole[269]));
  }
}

TEST_CASE("logits have the same bits where the caller's thread takes subnormals for zeros", "[model]") {
  Checkpoint checkpoint = test::toy_checkpoint();
  const auto embedding = std::find_if(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                                      [](const TensorView& t) { return t.name == "token_embd.weight"; });
  REQUIRE(embedding != checkpoint.tensors.end());
  std::vector<float> values(embedding->elements());
  std::memcpy(values.data(), embedding->data.data(), embedding->data.size());
  for (float& value : values) value *= 1e-39F;
  embedding->data = std::as_bytes(std::span(values));
  auto loaded = load_model(std::move(checkpoint), "toy", {}, {});
  REQUIRE(loaded);
  const std::shared_ptr<const Model> model = *loaded;
  const auto tokens = prompt(1, 40);
  const auto expected = Bench(model, 1).step(1, tokens);
  REQUIRE(std::any_of(expected[0].begin(), expected[0].end(), [](float logit) { return logit != 0; }));
  for (const unsigned threads : {1U, 2U}) {
    const test::SubnormalsAsZeros zeros;
    const auto got = Bench(model, threads).step(1, tokens);
    for (std::size_t i = 0; i < tokens.size(); ++i) CHECK(same_bits(got[i], expected[i]));
    CHECK(zeros.in_force());  // the thread's own again
  }
}

TEST_CASE("logits agree with llama.cpp on every weight type", "[model]") {
  struct Case {
    const char* name;
    double difference_max;  // absolute, of any logit
    double kl_max;          // mean over positions
  };
  const Case c = GENERATE(Case{"nano-llama", 1e-3, 1e-6}, Case{"nano-qwen2", 1e-3, 1e-6},
                          Case{"nano-llama-F16", 2e-2, 1e-4}, Case{"nano-llama-Q8_0", 1, 0.002},
                          Case{"nano-llama-Q4_0", 1, 0.002}, Case{"nano-llama-Q4_K_M", 1, 0.003},
                          Case{"nano-llama-Q6_K", 1, 0.002});
  const auto file = shared_data(std::string("models/nano/") + c.name + ".gguf");
  const auto expected_file = shared_data(std::string("models/nano/") + c.name + ".f32");
  if (!file || !expected_file) return;
  const auto model = Model::open(*file);
  REQUIRE(model);
  const std::vector<Token> tokens{1,  403, 407, 261, 378, 432, 383, 286, 261, 376, 300, 17,
                                  45, 99,  200, 301, 411, 5,   8,   77,  256, 499, 31,  64};
  const auto logits = evaluate_logits(**model, tokens, true);
  REQUIRE(logits);
  const std::size_t vocab = (*model)->info().vocab_size;
  std::vector<float> expected(tokens.size() * vocab);
  std::ifstream stream(*expected_file, std::ios::binary);
  stream.read(reinterpret_cast<char*>(expected.data()),
              static_cast<std::streamsize>(expected.size() * sizeof(float)));
  REQUIRE(stream.gcount() == static_cast<std::streamsize>(expected.size() * sizeof(float)));

  double difference = 0;
  double divergence = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const float* want = expected.data() + i * vocab;
    const Row& got = (*logits)[i];
    double want_sum = 0;
    double got_sum = 0;
    for (std::size_t j = 0; j < vocab; ++j) {
      difference = std::max(difference, std::abs(static_cast<double>(want[j]) - static_cast<double>(got[j])));
      want_sum += std::exp(static_cast<double>(want[j]));
      got_sum += std::exp(static_cast<double>(got[j]));
    }
    for (std::size_t j = 0; j < vocab; ++j) {
      const double p = std::exp(static_cast<double>(want[j])) / want_sum;
      const double q = std::exp(static_cast<double>(got[j])) / got_sum;
      divergence += p * std::log(p / q) / static_cast<double>(tokens.size());
    }
  }
  INFO(c.name << ": largest difference " << difference << ", mean KL " << divergence);
  CHECK(difference <= c.difference_max);
  CHECK(divergence <= c.kl_max);
}

TEST_CASE("evaluate_logits refuses tokens outside of the vocabulary and prompts beyond the context",
          "[model]") {
  const auto model = test::toy_model();
  CHECK(evaluate_logits(*model, {}, false).error().code == Errc::bad_argument);
  CHECK(evaluate_logits(*model, std::vector<Token>{285}, false).error().code == Errc::bad_argument);
  CHECK(evaluate_logits(*model, std::vector<Token>{-1}, false).error().code == Errc::bad_argument);
  const auto too_long = evaluate_logits(*model, prompt(1, 513), false);
  REQUIRE(!too_long);
  CHECK(too_long.error().code == Errc::context_exceeded);
  CHECK(too_long.error().message.find("513") != std::string::npos);
  CHECK(too_long.error().message.find("512") != std::string::npos);
}
