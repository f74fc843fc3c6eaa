#include "kernels/gemm.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/highway_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm.cpp"
#include "hwy/foreach_target.h"
//
#include "kernels/gemm-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace troupe {
namespace HWY_NAMESPACE {

// A task is a block of C: few enough rows that all threads get some, enough columns that a packed A pays.
constexpr std::size_t task_rows = 4 * tile_rows;
constexpr std::size_t task_panels = 8;

void gemm_all(GemmForm form, std::size_t m, std::size_t n, std::size_t k, GemmMatrix a, GemmMatrix b,
              float* c, std::size_t c_stride, bool accumulate, GemmScratch& scratch, ThreadPool& pool) {
  const std::size_t block = k_block(k), blocks = (k + block - 1) / block, panels = panels_of(n);
  const std::size_t packed_cols = panels * panel_cols;
  float* packed = scratch.packed_b(packed_cols * k);
  const auto panel_at = [=](std::size_t index, std::size_t panel) {
    return packed + index * block * packed_cols + panel * panel_cols * std::min(block, k - index * block);
  };
  const auto pack = [&](std::size_t i, unsigned) {
    const std::size_t index = i / panels, panel = i % panels, n0 = panel * panel_cols;
    const std::size_t k0 = index * block, ks = std::min(block, k - k0), cols = std::min(panel_cols, n - n0);
    if (form == GemmForm::abt)
      pack_panel_transposed(b.data, b.stride, k0, ks, n0, cols, panel_at(index, panel));
    else
      pack_panel(b.data, b.stride, k0, ks, n0, cols, panel_at(index, panel));
  };
  pool.parallel_for(panels * blocks, pack);

  const bool transposed = form == GemmForm::atb;
  if (transposed) scratch.prepare_a(task_rows * block, pool.threads());
  const std::size_t row_tasks = (m + task_rows - 1) / task_rows;
  const std::size_t col_tasks = (panels + task_panels - 1) / task_panels;
  const auto multiply = [&](std::size_t task, unsigned worker) {
    const std::size_t row = task / col_tasks * task_rows, rows = std::min(task_rows, m - row);
    const std::size_t first = task % col_tasks * task_panels, last = std::min(panels, first + task_panels);
    for (std::size_t index = 0; index < blocks; ++index) {
      const std::size_t k0 = index * block, ks = std::min(block, k - k0);
      float* rows_of_a = nullptr;
      if (transposed) {
        // [tile][k][tile_rows], so that a tile reads consecutive floats.
        rows_of_a = scratch.packed_a(worker);
        for (std::size_t tile = 0; tile < rows; tile += tile_rows) {
          const std::size_t width = std::min(tile_rows, rows - tile);
          float* to = rows_of_a + tile * ks;
          const float* from = a.data + k0 * a.stride + row + tile;
          if (width == tile_rows) {
            for (std::size_t i = 0; i < ks; ++i, to += tile_rows, from += a.stride)
              std::memcpy(to, from, tile_rows * sizeof(float));
          } else {
            for (std::size_t i = 0; i < ks; ++i, to += tile_rows, from += a.stride)
              std::memcpy(to, from, width * sizeof(float));
          }
        }
      }
      for (std::size_t panel = first; panel < last; ++panel) {
        TileOperands t{};
        t.b = panel_at(index, panel);
        t.ks = ks;
        t.c_stride = c_stride;
        t.cols = std::min(panel_cols, n - panel * panel_cols);
        t.accumulate = accumulate || index != 0;
        for (std::size_t tile = 0; tile < rows; tile += tile_rows) {
          const std::size_t height = std::min(tile_rows, rows - tile);
          t.c = c + (row + tile) * c_stride + panel * panel_cols;
          if (transposed) {
            t.a = rows_of_a + tile * ks;
            t.a_stride = tile_rows;
            gemm_rows<true>(t, height, TileRows());
          } else {
            t.a = a.data + (row + tile) * a.stride + k0;
            t.a_stride = a.stride;
            gemm_rows<false>(t, height, TileRows());
          }
        }
      }
    }
  };
  pool.parallel_for(row_tasks * col_tasks, multiply);
}

}  // namespace HWY_NAMESPACE
}  // namespace troupe
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace troupe {

HWY_EXPORT(gemm_all);

void gemm(GemmForm form, std::size_t m, std::size_t n, std::size_t k, GemmMatrix a, GemmMatrix b, float* c,
          std::size_t c_stride, bool accumulate, GemmScratch& scratch, ThreadPool& pool) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    for (std::size_t i = 0; i < m && !accumulate; ++i) std::fill_n(c + i * c_stride, n, 0.0f);
    return;
  }
  HWY_DYNAMIC_DISPATCH(gemm_all)(form, m, n, k, a, b, c, c_stride, accumulate, scratch, pool);
}

}  // namespace troupe
#endif
