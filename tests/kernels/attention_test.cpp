#include <algorithm>
#include <string>
#include <utility>

#include "kernels/attention_samples.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

TEST_CASE("attention agrees with the reference for all shapes, element types and targets",
          "[kernels][attention]") {
  ThreadPool pool(2);
  for (const auto type : all_kv_types)
    for (const std::size_t dim : {1, 6, 8, 32, 64, 80, 128})
      for (const auto& [heads, kv_heads] : {std::pair{1, 1}, {4, 4}, {9, 3}, {8, 1}}) {
        const AttentionLayer layer = make_layer(heads, kv_heads, dim, type);
        const Sequence sequence(layer, 271, dim + heads);
        std::vector<Query> queries;
        for (const std::size_t position : {0, 1, 30, 31, 32, 33, 64, 100, 255, 256, 270})
          queries.emplace_back(layer, sequence, position, 0);
        std::vector<std::vector<float>> first;
        for (const std::string& target : kernel_targets()) {
          const WithTarget with(target);
          const auto got = run(layer, queries, pool);
          for (std::size_t i = 0; i < got.size(); ++i)
            for (std::size_t h = 0; h < layer.heads; ++h) {
              const auto expected = sequence.expect(queries[i].q, h, 0, queries[i].position);
              for (std::size_t d = 0; d < dim; ++d) {
                INFO(target << " dim " << dim << " heads " << heads << "/" << kv_heads << " position "
                            << queries[i].position << " head " << h << ": " << got[i][h * dim + d] << " for "
                            << expected[d]);
                REQUIRE(std::fabs(got[i][h * dim + d] - expected[d]) < 3e-5);
              }
            }
          if (!has_fused_multiply_add(target)) continue;
          if (first.empty()) first = got;
          INFO(target);
          for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_bits(got[i], first[i]));
        }
      }
}

TEST_CASE("q8_0 is as far from exact attention as half a step of each number allows",
          "[kernels][attention]") {
  ThreadPool pool(1);
  for (const std::size_t dim : {20, 64, 96}) {
    const AttentionLayer layer = make_layer(6, 2, dim, KvType::q8_0);
    const Sequence sequence(layer, 150, dim);
    std::vector<Query> queries;
    for (const std::size_t position : {0, 40, 149}) queries.emplace_back(layer, sequence, position, 0);
    const auto got = run(layer, queries, pool);
    for (std::size_t i = 0; i < got.size(); ++i)
      for (std::size_t h = 0; h < layer.heads; ++h) {
        const auto [exact, bound] = sequence.expect_exact(queries[i].q, h, queries[i].position);
        for (std::size_t d = 0; d < dim; ++d) {
          INFO("dim " << dim << " position " << queries[i].position << " bound " << bound);
          REQUIRE(std::fabs(got[i][h * dim + d] - exact[d]) < bound);
        }
      }
  }
}

TEST_CASE("a sliding window hides what is before it", "[kernels][attention]") {
  ThreadPool pool(1);
  const AttentionLayer layer = make_layer(4, 2, 16, KvType::f32);
  const Sequence sequence(layer, 530, 3);
  std::vector<Query> queries;
  for (const std::size_t position : {5, 40, 95, 96, 129, 255, 256, 300, 529})
    for (const std::size_t window : {1, 2, 31, 32, 33, 64, 100, 300})
      queries.emplace_back(layer, sequence, position, position + 1 > window ? position + 1 - window : 0);
  const auto got = run(layer, queries, pool);
  for (std::size_t i = 0; i < got.size(); ++i)
    for (std::size_t h = 0; h < layer.heads; ++h) {
      const auto expected = sequence.expect(queries[i].q, h, queries[i].first, queries[i].position);
      for (std::size_t d = 0; d < layer.head_dim; ++d) {
        INFO("position " << queries[i].position << " from " << queries[i].first);
        REQUIRE(std::fabs(got[i][h * layer.head_dim + d] - expected[d]) < 3e-5);
      }
    }
}

TEST_CASE("scores are soft-capped after they are scaled", "[kernels][attention]") {
  ThreadPool pool(1);
  for (const float cap : {0.5f, 3.0f, 50.0f}) {
    AttentionLayer layer = make_layer(4, 2, 16, KvType::f32);
    layer.scale = 1.5f;
    layer.softcap = cap;
    const Sequence sequence(layer, 70, 4);  // slots that hold nothing are NaN and stay out
    std::vector<Query> queries;
    for (const std::size_t position : {0, 31, 69})
      queries.emplace_back(layer, sequence, position, position / 2);
    for (const std::string& target : kernel_targets()) {
      const WithTarget with(target);
      const auto got = run(layer, queries, pool);
      for (std::size_t i = 0; i < got.size(); ++i)
        for (std::size_t h = 0; h < layer.heads; ++h) {
          const auto expected = sequence.expect(queries[i].q, h, queries[i].first, queries[i].position);
          for (std::size_t d = 0; d < layer.head_dim; ++d) {
            INFO(target << " cap " << cap << " position " << queries[i].position);
            REQUIRE(std::fabs(got[i][h * layer.head_dim + d] - expected[d]) < 1e-4);
          }
        }
    }
  }
}

TEST_CASE("attention takes more query heads per key head than a tile holds, and more tiles than a run",
          "[kernels][attention]") {
  ThreadPool pool(2);
  const AttentionLayer layer = make_layer(150, 1, 8, KvType::f32);
  const Sequence sequence(layer, 40, 5), other(layer, 40, 6);
  std::vector<Query> queries;
  for (std::size_t i = 0; i < 600; ++i)
    queries.emplace_back(layer, i % 2 == 0 ? sequence : other, 30 + i % 10, 0);
  const auto got = run(layer, queries, pool);
  for (std::size_t i = 0; i < got.size(); i += 37)
    for (std::size_t h = 0; h < layer.heads; ++h) {
      const auto expected = queries[i].sequence->expect(queries[i].q, h, 0, queries[i].position);
      for (std::size_t d = 0; d < 8; ++d) REQUIRE(std::fabs(got[i][h * 8 + d] - expected[d]) < 3e-5);
    }
}

TEST_CASE("NaN in a query, a key or a value shows in what is attended to", "[kernels][attention]") {
  ThreadPool pool(1);
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    for (const auto type : all_kv_types)
      for (const std::size_t at : {0, 15, 31, 32}) {
        INFO(target << " element " << at);
        const AttentionLayer layer = make_layer(1, 1, 64, type);
        const Sequence sequence(layer, 1, 1);
        Query query(layer, sequence, 0, 0);
        query.q[at] = std::nanf("");
        const auto attended = run(layer, {query}, pool);
        for (const float value : attended[0]) CHECK(std::isnan(value));

        AlignedBuffer<std::byte> page(layer.v_offset + page_part_bytes(1, 64, type));
        const std::byte* const pages[] = {page.data()};
        std::vector<float> sound(64, 1.0f), damaged = sound, out(64);
        damaged[at] = std::nanf("");
        const AttentionRow row{sound.data(), out.data(), pages, 0, 0};
        AttentionScratch scratch;
        store_kv(layer, page.data(), 0, damaged.data(), sound.data());
        attention(layer, {&row, 1}, scratch, pool);
        for (const float value : out) CHECK(std::isnan(value));
        store_kv(layer, page.data(), 0, sound.data(), damaged.data());
        attention(layer, {&row, 1}, scratch, pool);
        CHECK(std::isnan(out[at]));
      }
  }
}

TEST_CASE("storing a position touches its slot alone", "[kernels][attention]") {
  for (const auto type : all_kv_types) {
    const AttentionLayer layer = make_layer(2, 2, 5, type);
    const std::size_t bytes = layer.v_offset + page_part_bytes(2, 5, type);
    AlignedBuffer<std::byte> page(bytes);
    std::fill_n(page.data(), bytes, std::byte{0x5A});
    const std::vector<float> k(10, 1.0f), v(10, 2.0f);
    store_kv(layer, page.data(), 7, k.data(), v.data());
    const auto changed = static_cast<std::size_t>(
        std::count_if(page.data(), page.data() + bytes, [](std::byte b) { return b != std::byte{0x5A}; }));
    // In q8_0 five dimensions of a key fill two quads, and each of the four vectors has a scale of its own.
    CHECK(changed == (type == KvType::f32 ? 80 : type == KvType::f16 ? 40 : 2 * 8 + 2 * 5 + 4 * 2));
  }
}
