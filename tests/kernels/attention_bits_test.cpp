// A row of attention has the same bits in any company and on any number of threads.

#include <string>
#include <utility>

#include "kernels/attention_samples.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

TEST_CASE("attention gives a row the same bits alone, among any others and with any thread count",
          "[kernels][attention]") {
  ThreadPool one(1), three(3);
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    for (const auto type : all_kv_types) {
      INFO(target);
      const AttentionLayer layer = make_layer(12, 2, 40, type);
      const Sequence a(layer, 200, 1), b(layer, 70, 2), c(layer, 10, 3);
      std::vector<Query> queries;
      // A chunk of prefill longer than a tile, a lone row, a chunk with windows, rows in no order.
      for (std::size_t p = 20; p < 65; ++p) queries.emplace_back(layer, b, p, 0);
      queries.emplace_back(layer, a, 199, 0);
      for (std::size_t p = 90; p < 120; ++p) queries.emplace_back(layer, a, p, p - 50);
      queries.emplace_back(layer, c, 9, 3);
      for (const std::size_t p : {69, 3, 40, 0}) queries.emplace_back(layer, b, p, 0);
      const auto together = run(layer, queries, one);
      const auto threaded = run(layer, queries, three);
      for (std::size_t i = 0; i < queries.size(); ++i) {
        INFO("row " << i);
        CHECK(same_bits(threaded[i], together[i]));
        CHECK(same_bits(run(layer, {queries[i]}, one)[0], together[i]));
      }
    }
  }
}

TEST_CASE("threads that share a long context change no bits of it", "[kernels][attention]") {
  ThreadPool one(1);
  for (const auto type : all_kv_types) {
    const AttentionLayer layer = make_layer(12, 2, 40, type);
    const Sequence a(layer, 1100, 1), b(layer, 300, 2);
    std::vector<Query> queries;
    for (const std::size_t first : {0, 256, 500, 1000}) queries.emplace_back(layer, a, 1099, first);
    for (std::size_t p = 630; p < 650; ++p) queries.emplace_back(layer, a, p, 0);
    for (const std::size_t p : {255, 256, 299}) queries.emplace_back(layer, b, p, 0);
    const auto expected = run(layer, queries, one);
    for (std::size_t h = 0; h < layer.heads; ++h) {
      const auto exact = queries[0].sequence->expect(queries[0].q, h, 0, 1099);
      for (std::size_t d = 0; d < 40; ++d) REQUIRE(std::fabs(expected[0][h * 40 + d] - exact[d]) < 3e-5);
    }
    for (const unsigned threads : {2u, 3u, 7u}) {
      ThreadPool pool(threads);
      INFO(threads << " threads");
      const auto together = run(layer, queries, pool);
      for (std::size_t i = 0; i < queries.size(); ++i) {
        INFO("row " << i);
        CHECK(same_bits(together[i], expected[i]));
        CHECK(same_bits(run(layer, {queries[i]}, pool)[0], expected[i]));
      }
    }
  }
}

TEST_CASE("rows that go together keep their bits where only some of them see a chunk",
          "[kernels][attention]") {
  ThreadPool one(1), two(2);
  for (const auto& [heads, window] : {std::pair{8, SIZE_MAX}, {8, std::size_t{1001}}, {150, SIZE_MAX}}) {
    INFO(heads << " heads, window " << window);
    const AttentionLayer layer = make_layer(static_cast<std::size_t>(heads), 1, 16, KvType::f32);
    const Sequence a(layer, 2060, 1), b(layer, 224, 2);
    std::vector<Query> queries;
    // Around the beginning of a chunk; and others, of which there are enough for those to be many together.
    for (std::size_t p = 2028; p < 2060; ++p)
      queries.emplace_back(layer, a, p, p < window ? 0 : p + 1 - window);
    for (std::size_t p = 0; p < 224; ++p) queries.emplace_back(layer, b, p, 0);
    const auto expected = run(layer, queries, one);
    const auto got = run(layer, queries, two);
    for (std::size_t i = 0; i < queries.size(); ++i) {
      INFO("row " << i);
      CHECK(same_bits(got[i], expected[i]));
    }
  }
}

TEST_CASE("the longest contexts are shared out among many threads too", "[kernels][attention]") {
  ThreadPool one(1), four(4);
  const AttentionLayer layer = make_layer(64, 8, 128, KvType::f16);
  const Sequence page(layer, page_tokens, 1);
  const std::vector<const std::byte*> pages(129 * 1024 / page_tokens, page.pages()[0]);
  const std::vector<float> q = Samples(2).values(64 * 128, 2);
  std::vector<float> out(q.size()), expected(q.size());
  AttentionRow row{q.data(), expected.data(), pages, 129 * 1024 - 1, 0};
  AttentionScratch scratch;
  attention(layer, {&row, 1}, scratch, one);
  CHECK(scratch.tasks.size() == 1);
  row.out = out.data();
  attention(layer, {&row, 1}, scratch, four);
  CHECK(scratch.tasks.size() * layer.kv_heads == 16);
  CHECK(same_bits(out, expected));
}
