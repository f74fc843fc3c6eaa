// Keys and values in q8_0. Scores are products of integers, so queries are quantized too, 32 dimensions to a
// scale; sums are exact, and scaled as they come.
#if defined(TROUPE_KERNELS_ATTENTION_Q8_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TROUPE_KERNELS_ATTENTION_Q8_INL
#undef TROUPE_KERNELS_ATTENTION_Q8_INL
#else
#define TROUPE_KERNELS_ATTENTION_Q8_INL
#endif

#include <algorithm>

#include "hwy/cache_control.h"
#include "kernels/attention.hpp"
#include "kernels/int8_block-inl.hpp"
#include "kernels/quads-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

// ---- q8_0: products of integers, so queries are quantized too, 32 dimensions to a scale. Sums are exact,
// and scaled as they come.

struct QuantizedKeys {
  static constexpr bool wide = false;
  const std::byte* k;  // of a head, as in kv_page.hpp
  const std::byte* ahead;
};
struct QuantizedValues {
  const std::int8_t* v;  // [page_tokens][head_dim]
  const float* scales;   // [blocks][page_tokens]
  const std::byte* ahead;
};

/// What goes with 32 dimensions of a query: their scale, and the sum that Dot::zero adds taken off.
struct QueryTerms {
  float scale;
  std::int32_t offset;
};
/// Floats that a packed query takes, in any type.
constexpr std::size_t packed_floats(std::size_t head_dim) {
  return kv_blocks(head_dim) * kv_block;
}

/// Queries as int8, block by block [N][32] and then their N terms.
template <std::size_t N>
HWY_NOINLINE void pack_quantized(const float* const* queries, std::size_t count, std::size_t head_dim,
                                 float* packed) {
  auto* codes = reinterpret_cast<std::int8_t*>(packed);
  for (std::size_t dim = 0; dim < head_dim; dim += kv_block, codes += N * (kv_block + sizeof(QueryTerms))) {
    auto* terms = reinterpret_cast<QueryTerms*>(codes + N * kv_block);
    for (std::size_t i = 0; i < N; ++i) {
      float x[kv_block] = {};
      if (i < count) std::copy_n(queries[i] + dim, std::min(kv_block, head_dim - dim), x);
      const auto [scale, inverse] = block_scale(largest_of_block(x));
      IntVector sums[2];
      encode_block(x, inverse, codes + i * kv_block, sums);
      const std::int32_t sum = hn::GetLane(hn::SumOfLanes(IntTag(), hn::Add(sums[0], sums[1])));
      terms[i] = {scale, -SignedDot::zero * sum};
    }
  }
}

/// Sixteen positions' scores; q as pack_quantized() leaves it.
template <std::size_t N, std::size_t P>
HWY_NOINLINE void add_up_scores(const float* q, const QuantizedKeys& keys, std::size_t slot,
                                std::size_t head_dim, float scale, float* scores) {
  static_assert(P == 1);
  const FloatTag d;
  const std::size_t quads = kv_quads(head_dim), blocks = kv_blocks(head_dim), half = slot / 16;
  const std::byte* codes = keys.k + half * quads * quad_bytes;
  const std::byte* ahead = keys.ahead + half * quads * quad_bytes;
  const auto* scales =
      reinterpret_cast<const std::uint16_t*>(keys.k + 2 * quads * quad_bytes) + half * blocks * 16;
  for (std::size_t part = 0; part < parts; ++part) {
    FloatVector sums[N];
    unroll<N>([&](auto t) TROUPE_LAMBDA { sums[t] = hn::Zero(d); });
    const auto* x = reinterpret_cast<const std::int8_t*>(q);
    for (std::size_t b = 0; b < blocks; ++b, x += N * (kv_block + sizeof(QueryTerms))) {
      const std::size_t have = quads - 8 * b;
      Quads w;
      unroll<8>([&](auto j) TROUPE_LAMBDA {
        if (part == 0) hwy::Prefetch(ahead + (8 * b + j) * quad_bytes);
        const Quad quad = j < have ? load_quad(codes + (8 * b + j) * quad_bytes, part) : set_quad(0);
        w.quad[j] = signed_flip == 0 ? quad : flip(quad, set_quad(signed_flip));
      });
      const auto* terms = reinterpret_cast<const QueryTerms*>(x + N * kv_block);
      IntVector dots[N];
      unroll<N>([&](auto t) TROUPE_LAMBDA { dots[t] = hn::Set(IntTag(), terms[t].offset); });
      SignedDot(w).template add<N, 0, 8>(x, dots);
      const FloatVector k_scale = load_f16(d, scales + b * 16 + part * lanes);
      unroll<N>([&](auto t) TROUPE_LAMBDA {
        const FloatVector both = hn::Mul(k_scale, hn::Set(d, terms[t].scale));
        sums[t] = hn::MulAdd(hn::ConvertTo(d, dots[t]), both, sums[t]);
      });
    }
    unroll<N>([&](auto t) TROUPE_LAMBDA {
      hn::StoreU(hn::Mul(sums[t], hn::Set(d, scale)), d, scores + t * chunk_tokens + part * lanes);
    });
  }
}

/// code * scale, which is exact: seven bits times eleven.
template <class D>
HWY_INLINE Vector<D> load_value(D d, const QuantizedValues& values, std::size_t slot, std::size_t head_dim,
                                std::size_t dim) {
  const hn::Rebind<std::int8_t, D> d8;
  const hn::RebindToSigned<D> di;
  const auto codes = hn::PromoteTo(di, hn::LoadU(d8, values.v + slot * head_dim + dim));
  return hn::Mul(hn::ConvertTo(d, codes), hn::Set(d, values.scales[dim / kv_block * page_tokens + slot]));
}
HWY_INLINE void fetch_ahead(const QuantizedValues& values, std::size_t slot, std::size_t head_dim,
                            std::size_t dim) {
  hwy::Prefetch(values.ahead + slot * head_dim + dim);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#endif  // per-target guard
