#pragma once
// Sequences to attend to, what must come out, and calls of attention().

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/attention.hpp"
#include "kernels/f16.hpp"
#include "kernels/reference/reference.hpp"
#include "kernels/samples.hpp"

namespace troupe::test {

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

inline AttentionLayer make_layer(std::size_t heads, std::size_t kv_heads, std::size_t dim, KvType type) {
  AttentionLayer layer{heads, kv_heads, dim, 1 / std::sqrt(static_cast<float>(dim)), type, 64, 0};
  layer.v_offset = layer.k_offset + page_part_bytes(kv_heads, dim, type);
  return layer;
}

inline constexpr KvType all_kv_types[] = {KvType::f32, KvType::f16, KvType::q8_0};

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

inline std::vector<std::vector<float>> run(const AttentionLayer& layer, std::vector<Query> queries,
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

}  // namespace troupe::test
