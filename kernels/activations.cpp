// The int8 form of the activations: per row and block of 32 columns a scale max|x| / 127 and
// round(x * (127 / max|x|)), ties to even.

#include <algorithm>

#include "base/check.hpp"
#include "kernels/highway_targets.hpp"
#include "kernels/matmul.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/activations.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/int8_block-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

/// One row; consecutive blocks lie `rows` blocks apart in both outputs.
void quantize_activation_row(const float* x, std::size_t cols, std::size_t rows, std::int8_t* q8,
                             ActivationTerms* terms) {
  const IntTag di;
  for (std::size_t b = 0; b < cols / 32; ++b, x += 32, q8 += rows * 32, terms += rows) {
    const auto [scale, inverse] = block_scale(largest_of_block(x));
    IntVector sums[2];
    encode_block(x, inverse, q8, sums);
    const std::int32_t first = hn::GetLane(hn::SumOfLanes(di, sums[0]));
    const std::int32_t second = hn::GetLane(hn::SumOfLanes(di, sums[1]));
    *terms = {scale,
              scale * static_cast<float>(first + second),
              -8 * (first + second),
              {-32 * first, -32 * second}};
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(quantize_activation_row);

void Activations::transpose(ThreadPool& pool) {
  if (transposed_ || rows_ == 1) return;
  columns_.resize(rows_ * cols_);
  // Sixteen columns of all rows at a time: one cache line of every row.
  constexpr std::size_t strip = 16, chunk_strips = 32;
  const std::size_t strips = (cols_ + strip - 1) / strip;
  pool.parallel_for((strips + chunk_strips - 1) / chunk_strips, [&](std::size_t chunk, unsigned) {
    const std::size_t end = std::min(cols_, (chunk + 1) * chunk_strips * strip);
    for (std::size_t begin = chunk * chunk_strips * strip; begin < end; begin += strip) {
      const std::size_t width = std::min(strip, end - begin);
      for (std::size_t r = 0; r < rows_; ++r)
        for (std::size_t k = 0; k < width; ++k) columns_[(begin + k) * rows_ + r] = x_[r * cols_ + begin + k];
    }
  });
  transposed_ = true;
}

void Activations::begin_int8() {
  TROUPE_CHECK(cols_ % 32 == 0);
  const std::size_t blocks = rows_ * (cols_ / 32);
  // Whole tiles of rows are read, also where the last one begins near the end.
  q8_.resize((blocks + activation_rows_behind) * 32);
  terms_.resize(blocks + activation_rows_behind);
  quantized_ = true;
}

void Activations::quantize_row(std::size_t r) noexcept {
  HWY_DYNAMIC_DISPATCH(quantize_activation_row)
  (x_ + r * cols_, cols_, rows_, q8_.data() + r * 32, terms_.data() + r);
}

void Activations::quantize(ThreadPool& pool) {
  if (quantized_) return;
  begin_int8();
  parallel_rows(pool, rows_, cols_, [this](std::size_t r) { quantize_row(r); });
}

}  // namespace troupe
#endif
