#include "kernels/attention.hpp"

#include <algorithm>
#include <memory>

#include "kernels/aligned.hpp"
#include "kernels/f16.hpp"
#include "kernels/reference/reference.hpp"
#include "kernels/samples.hpp"
#include "support/catch.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

/// A layer's cache of one sequence, with the values that were stored.
class Sequence {
 public:
  Sequence(const AttentionLayer& layer, std::size_t positions, std::uint64_t seed) : layer_(layer) {
    Samples samples(seed);
    const std::size_t width = layer.kv_heads * layer.head_dim;
    const std::size_t bytes = layer.v_offset + page_part_bytes(layer.kv_heads, layer.head_dim, layer.kv_type);
    for (std::size_t page = 0; page * page_tokens < positions; ++page) {
      memory_.push_back(std::make_unique<AlignedBuffer<std::byte>>(bytes));
      // NaN in both element types: what lies beyond the stored positions must never count.
      std::fill_n(memory_.back()->data(), bytes, std::byte{0xFF});
      pages_.push_back(memory_.back()->data());
    }
    for (std::size_t p = 0; p < positions; ++p) {
      std::vector<float> k = samples.values(width, 2), v = samples.values(width);
      store_kv(layer, memory_[p / page_tokens]->data(), p % page_tokens, k.data(), v.data());
      if (layer.kv_type == KvType::f16)
        for (auto* row : {&k, &v})
          for (float& value : *row) value = f16_to_f32(f32_to_f16(value));
      k_.insert(k_.end(), k.begin(), k.end());
      v_.insert(v_.end(), v.begin(), v.end());
    }
  }

  std::span<const std::byte* const> pages() const { return pages_; }

  std::vector<double> expect(std::span<const float> q, std::size_t head, std::size_t first,
                             std::size_t position) const {
    const std::size_t dim = layer_.head_dim, kv_head = head / (layer_.heads / layer_.kv_heads);
    std::vector<double> k, v;
    for (std::size_t p = first; p <= position; ++p)
      for (std::size_t i = 0; i < dim; ++i) {
        k.push_back(k_[(p * layer_.kv_heads + kv_head) * dim + i]);
        v.push_back(v_[(p * layer_.kv_heads + kv_head) * dim + i]);
      }
    return reference::attention(q.subspan(head * dim, dim), k, v, layer_.scale, layer_.softcap);
  }

 private:
  AttentionLayer layer_;
  std::vector<std::unique_ptr<AlignedBuffer<std::byte>>> memory_;
  std::vector<const std::byte*> pages_;
  std::vector<float> k_, v_;  // [positions][kv_heads][head_dim]
};

AttentionLayer make_layer(std::size_t heads, std::size_t kv_heads, std::size_t dim, KvType type) {
  AttentionLayer layer{heads, kv_heads, dim, 1 / std::sqrt(static_cast<float>(dim)), type, 64, 0};
  layer.v_offset = layer.k_offset + page_part_bytes(kv_heads, dim, type);
  return layer;
}

struct Query {
  const Sequence* sequence;
  std::size_t position, first;
  std::vector<float> q, out;

  Query(const AttentionLayer& layer, const Sequence& s, std::size_t position_, std::size_t first_)
      : sequence(&s), position(position_), first(first_) {
    q = Samples(position * 977 + first + 1).values(layer.heads * layer.head_dim, 2);
    out.assign(q.size(), std::nanf(""));
  }
  AttentionRow row() { return {q.data(), out.data(), sequence->pages(), position, first}; }
};

std::vector<std::vector<float>> run(const AttentionLayer& layer, std::vector<Query> queries,
                                    ThreadPool& pool) {
  std::vector<AttentionRow> rows;
  for (Query& query : queries) rows.push_back(query.row());
  AttentionScratch scratch;
  attention(layer, rows, scratch, pool);
  std::vector<std::vector<float>> out;
  for (Query& query : queries) out.push_back(query.out);
  return out;
}

}  // namespace

TEST_CASE("attention agrees with the reference for all shapes, element types and targets",
          "[kernels][attention]") {
  ThreadPool pool(2);
  for (const auto type : {KvType::f32, KvType::f16})
    for (const std::size_t dim : {1, 6, 8, 32, 64, 80, 128})
      for (const auto& [heads, kv_heads] : {std::pair{1, 1}, {4, 4}, {9, 3}, {8, 1}}) {
        const AttentionLayer layer = make_layer(heads, kv_heads, dim, type);
        const Sequence sequence(layer, 101, dim + heads);
        std::vector<Query> queries;
        for (const std::size_t position : {0, 1, 30, 31, 32, 33, 63, 64, 100})
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

TEST_CASE("a sliding window hides what is before it", "[kernels][attention]") {
  ThreadPool pool(1);
  const AttentionLayer layer = make_layer(4, 2, 16, KvType::f32);
  const Sequence sequence(layer, 130, 3);
  std::vector<Query> queries;
  for (const std::size_t position : {5, 40, 95, 96, 129})
    for (const std::size_t window : {1, 2, 31, 32, 33, 64, 100})
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

TEST_CASE("attention gives a row the same bits alone, among any others and with any thread count",
          "[kernels][attention]") {
  ThreadPool one(1), three(3);
  for (const std::string& target : kernel_targets()) {
    const WithTarget with(target);
    for (const auto type : {KvType::f32, KvType::f16}) {
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

TEST_CASE("storing a position touches its slot alone", "[kernels][attention]") {
  for (const auto type : {KvType::f32, KvType::f16}) {
    const AttentionLayer layer = make_layer(2, 2, 5, type);
    const std::size_t bytes = layer.v_offset + page_part_bytes(2, 5, type);
    AlignedBuffer<std::byte> page(bytes);
    std::fill_n(page.data(), bytes, std::byte{0x5A});
    const std::vector<float> k(10, 1.0f), v(10, 2.0f);
    store_kv(layer, page.data(), 7, k.data(), v.data());
    const auto changed = static_cast<std::size_t>(
        std::count_if(page.data(), page.data() + bytes, [](std::byte b) { return b != std::byte{0x5A}; }));
    CHECK(changed == 20 * kv_type_bytes(type));
  }
}
