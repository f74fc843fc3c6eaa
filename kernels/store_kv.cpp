// How keys and values get into a page.

#include <algorithm>
#include <cstring>

#include "base/check.hpp"
#include "kernels/attention.hpp"
#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/store_kv.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/attention_q8-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// n floats to halves.
HWY_INLINE void to_f16(const float* from, std::size_t n, std::uint16_t* to) {
  const FloatTag d;
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) store_f16(hn::LoadU(d, from + i), d, to + i);
  for (; i < n; ++i) to[i] = f32_to_f16(from[i]);
}

/// One head's k and v into a slot of its part of the page.
void store_f16_head(const float* k, const float* v, std::size_t head_dim, std::size_t slot, std::byte* k_part,
                    std::byte* v_part) {
  auto* keys = reinterpret_cast<std::uint16_t*>(k_part) + slot;
  // Keys are scattered: converted in pieces that fit a small buffer.
  std::uint16_t halves[64];
  for (std::size_t i = 0; i < head_dim; i += 64) {
    const std::size_t n = std::min<std::size_t>(64, head_dim - i);
    to_f16(k + i, n, halves);
    for (std::size_t j = 0; j < n; ++j) keys[(i + j) * page_tokens] = halves[j];
  }
  to_f16(v, head_dim, reinterpret_cast<std::uint16_t*>(v_part) + slot * head_dim);
}

/// Of 32 values: the scale is kept as f16, and codes are made for that one.
HWY_INLINE BlockScale stored_scale(float top) {
  const float scale = f16_to_f32(f32_to_f16(top / 127));
  return {scale, scale > 0 ? 1 / scale : 0.0f};
}

void store_q8_head(const float* k, const float* v, std::size_t head_dim, std::size_t slot, std::byte* k_part,
                   std::byte* v_part) {
  const std::size_t quads = kv_quads(head_dim), blocks = kv_blocks(head_dim), half = slot / 16;
  std::byte* k_codes = k_part + (half * quads * 16 + slot % 16) * 4;
  auto* k_scales =
      reinterpret_cast<std::uint16_t*>(k_part + 2 * quads * quad_bytes) + half * blocks * 16 + slot % 16;
  std::byte* v_codes = v_part + slot * head_dim;
  auto* v_scales = reinterpret_cast<std::uint16_t*>(v_part + page_tokens * head_dim) + slot;
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::size_t dim = b * kv_block, n = std::min(kv_block, head_dim - dim);
    float x[kv_block] = {};
    std::int8_t codes[kv_block];
    const auto quantize = [&](const float* from) TROUPE_LAMBDA {
      std::copy_n(from + dim, n, x);
      const auto [scale, inverse] = stored_scale(largest_of_block(x));
      IntVector sums[2];
      encode_block(x, inverse, codes, sums);
      return f32_to_f16(scale);
    };
    k_scales[b * 16] = quantize(k);
    for (std::size_t i = 0; i < n; i += 4) std::memcpy(k_codes + (dim + i) / 4 * quad_bytes, codes + i, 4);
    v_scales[b * page_tokens] = quantize(v);
    std::memcpy(v_codes + dim, codes, n);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {
namespace {

HWY_EXPORT(store_f16_head);
HWY_EXPORT(store_q8_head);

void store_f32_head(const float* k, const float* v, std::size_t head_dim, std::size_t slot, std::byte* k_part,
                    std::byte* v_part) {
  auto* keys = reinterpret_cast<float*>(k_part) + slot;
  for (std::size_t i = 0; i < head_dim; ++i) keys[i * page_tokens] = k[i];
  std::copy_n(v, head_dim, reinterpret_cast<float*>(v_part) + slot * head_dim);
}

}  // namespace

void store_kv(const AttentionLayer& layer, std::byte* page, std::size_t slot, const float* k,
              const float* v) {
  TROUPE_CHECK(slot < page_tokens);
  const std::size_t dim = layer.head_dim, bytes = page_head_bytes(dim, layer.kv_type);
  const auto store = layer.kv_type == KvType::f32   ? store_f32_head
                     : layer.kv_type == KvType::f16 ? HWY_DYNAMIC_DISPATCH(store_f16_head)
                                                    : HWY_DYNAMIC_DISPATCH(store_q8_head);
  for (std::size_t h = 0; h < layer.kv_heads; ++h)
    store(k + h * dim, v + h * dim, dim, slot, page + layer.k_offset + h * bytes,
          page + layer.v_offset + h * bytes);
}

}  // namespace troupe
#endif
