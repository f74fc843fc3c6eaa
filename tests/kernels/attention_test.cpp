#include "kernels/attention.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>

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
      exact_k_.insert(exact_k_.end(), k.begin(), k.end());
      exact_v_.insert(exact_v_.end(), v.begin(), v.end());
      for (auto* row : {&k, &v}) round_as_stored(layer, *row);
      k_.insert(k_.end(), k.begin(), k.end());
      v_.insert(v_.end(), v.begin(), v.end());
    }
  }

  std::span<const std::byte* const> pages() const { return pages_; }

  /// What attention must give of the numbers as they are stored.
  std::vector<double> expect(std::span<const float> q, std::size_t head, std::size_t first,
                             std::size_t position) const {
    std::vector<float> query = head_of(q, head);
    if (layer_.kv_type == KvType::q8_0) round_query(query);
    return reference::attention(query, head_of(k_, head, first, position), head_of(v_, head, first, position),
                                layer_.scale, layer_.softcap);
  }

  /// What it would give if nothing were rounded, and how far from that the rounding of q8_0 may lead: half a
  /// step for each number, which a score adds up over the dimensions; a softmax whose scores are off by d
  /// has weights that are off by a factor of exp(2 d) at most.
  std::pair<std::vector<double>, double> expect_exact(std::span<const float> q, std::size_t head,
                                                      std::size_t position) const {
    const auto query = head_of(q, head);
    const auto k = head_of(exact_k_, head, 0, position), v = head_of(exact_v_, head, 0, position);
    const std::size_t dim = layer_.head_dim;
    const double half_step = 0.5 / 127 * (1 + 0x1p-10);  // the scale is rounded to f16 as well
    const auto step_of = [&](const auto* x, std::size_t i) {
      double top = 0;
      for (std::size_t j = i / 32 * 32; j < std::min(dim, i / 32 * 32 + 32); ++j)
        top = std::max(top, std::fabs(static_cast<double>(x[j])));
      return top * half_step;
    };
    double off = 0, largest = 0, value_step = 0;
    for (std::size_t p = 0; p <= position; ++p) {
      double sum = 0;
      for (std::size_t i = 0; i < dim; ++i) {
        const double q_step = step_of(query.data(), i), k_step = step_of(&k[p * dim], i);
        sum += std::fabs(query[i]) * k_step + q_step * std::fabs(k[p * dim + i]) + q_step * k_step;
        value_step = std::max(value_step, step_of(&v[p * dim], i));
        largest = std::max(largest, std::fabs(v[p * dim + i]));
      }
      off = std::max(off, sum * layer_.scale);
    }
    return {reference::attention(query, k, v, layer_.scale, layer_.softcap),
            value_step + (std::exp(2 * off) - 1) * largest};
  }

 private:
  static void round_as_stored(const AttentionLayer& layer, std::vector<float>& row) {
    if (layer.kv_type == KvType::f16)
      for (float& value : row) value = f16_to_f32(f32_to_f16(value));
    if (layer.kv_type != KvType::q8_0) return;
    for (std::size_t head = 0; head < row.size(); head += layer.head_dim)
      for (std::size_t i = 0; i < layer.head_dim; i += 32) {
        const auto block = std::span(row).subspan(head + i, std::min<std::size_t>(32, layer.head_dim - i));
        float top = 0;
        for (const float value : block) top = std::max(top, std::fabs(value));
        const float scale = f16_to_f32(f32_to_f16(top / 127));
        for (float& value : block)
          value = std::clamp(std::nearbyint(value * (1 / scale)), -127.0f, 127.0f) * scale;
      }
  }
  static void round_query(std::vector<float>& query) {
    for (std::size_t i = 0; i < query.size(); i += 32) {
      std::array<float, 32> x{};
      const std::size_t n = std::min<std::size_t>(32, query.size() - i);
      std::copy_n(&query[i], n, x.begin());
      const auto block = reference::quantize_activations(x.data());
      for (std::size_t j = 0; j < n; ++j) query[i + j] = static_cast<float>(block.values[j]) * block.scale;
    }
  }
  std::vector<float> head_of(std::span<const float> q, std::size_t head) const {
    const auto part = q.subspan(head * layer_.head_dim, layer_.head_dim);
    return {part.begin(), part.end()};
  }
  std::vector<double> head_of(const std::vector<float>& all, std::size_t head, std::size_t first,
                              std::size_t last) const {
    const std::size_t dim = layer_.head_dim, kv_head = head / (layer_.heads / layer_.kv_heads);
    std::vector<double> out;
    for (std::size_t p = first; p <= last; ++p)
      for (std::size_t i = 0; i < dim; ++i) out.push_back(all[(p * layer_.kv_heads + kv_head) * dim + i]);
    return out;
  }

  AttentionLayer layer_;
  std::vector<std::unique_ptr<AlignedBuffer<std::byte>>> memory_;
  std::vector<const std::byte*> pages_;
  // [positions][kv_heads][head_dim], as they are stored and as they were given
  std::vector<float> k_, v_, exact_k_, exact_v_;
};

AttentionLayer make_layer(std::size_t heads, std::size_t kv_heads, std::size_t dim, KvType type) {
  AttentionLayer layer{heads, kv_heads, dim, 1 / std::sqrt(static_cast<float>(dim)), type, 64, 0};
  layer.v_offset = layer.k_offset + page_part_bytes(kv_heads, dim, type);
  return layer;
}

constexpr KvType all_kv_types[] = {KvType::f32, KvType::f16, KvType::q8_0};

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
  // What a call before this one has left: nothing of it may count.
  AttentionScratch scratch;
  scratch.parts.resize(1 << 16);
  std::fill_n(scratch.parts.data(), scratch.parts.size(), 1.0f);
  attention(layer, rows, scratch, pool);
  std::vector<std::vector<float>> out;
  for (Query& query : queries) out.push_back(query.out);
  return out;
}

}  // namespace

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
