#pragma once
// y = x Wᵀ for weights in their file's type. The order in which an output element's products are summed
// depends on K (the number of columns) alone: not on how many rows x has, on tiles, or on threads. So a
// row's result has the same bits alone and in any batch.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/tensor_type.hpp"
#include "kernels/aligned.hpp"
#include "kernels/parallel_rows.hpp"
#include "kernels/thread_pool.hpp"

namespace troupe {

/// Whether matmul has a kernel for weights of this type.
bool matmul_supports(TensorType type) noexcept;

/// All types that it has one for.
std::vector<TensorType> matmul_types();

/// A weight matrix [rows, cols] repacked for the kernels: rows interleaved in groups of 16 or 32, padded
/// with zero rows to a whole group; the values are exactly those of the file. Immutable, owns its memory.
/// Safe to read from any thread.
class PackedMatrix {
 public:
  PackedMatrix() = default;

  /// Repacks `data`, row-major [rows, cols] blocks of `type` as in the file. Preconditions (checked, abort):
  /// matmul_supports(type), cols is a multiple of the type's block, data.size() is exactly right.
  static PackedMatrix pack(TensorType type, std::size_t rows, std::size_t cols,
                           std::span<const std::byte> data, ThreadPool& pool);

  /// Bytes that pack() would allocate.
  static std::size_t packed_bytes(TensorType type, std::size_t rows, std::size_t cols) noexcept;

  TensorType type() const noexcept { return type_; }
  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  std::size_t bytes() const noexcept { return bytes_.size(); }
  const std::byte* data() const noexcept { return bytes_.data(); }

  /// out[0..cols) = row `row`, dequantized: the embedding lookup.
  void read_row(std::size_t row, float* out) const;

 private:
  TensorType type_ = TensorType::f32;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  AlignedBuffer<std::byte> bytes_;
};

/// What the kernels need of 32 quantized activations q beside themselves.
struct ActivationTerms {
  float scale;                   ///< the activations are scale * q
  float scaled_sum;              ///< scale * their sum: times a minimum of the weights
  std::int32_t offset;           ///< -8 times the sum of q: codes that are 8 too large start from there
  std::int32_t half_offsets[2];  ///< -32 times the sums of the first and the last 16
};

/// Whether matmul reads the int8 form of the activations with these weights, or floats.
bool reads_int8(const PackedMatrix& w) noexcept;

/// Rows behind the last of the activations' forms that kernels may read, and ignore.
inline constexpr std::size_t activation_rows_behind = 16;

/// The rows that are multiplied: f32 [rows, cols] of the caller, plus the forms that the kernels want,
/// each made once when the first weight asks for it and shared by all that follow: int8 (one scale per 32
/// columns, rounded to nearest) for quantized weights, transposed for float weights. Reused from step to
/// step; grows to the largest batch; not thread-safe.
class Activations {
 public:
  /// Points at x, row-major [rows, cols] with `cols` floats between rows; x must outlive the matmuls.
  void assign(const float* x, std::size_t rows, std::size_t cols) noexcept {
    x_ = x, rows_ = rows, cols_ = cols, quantized_ = transposed_ = false;
  }
  /// As assign() of rows that are yet to be computed: calls make(r) once for every row r, on all threads,
  /// which writes row r of x, and must not throw. With `int8` that form is made of each row at once, while it
  /// lies in the nearest cache.
  template <class Make>
  void make(const float* x, std::size_t rows, std::size_t cols, bool int8, ThreadPool& pool,
            const Make& make) {
    assign(x, rows, cols);
    if (int8) begin_int8();
    parallel_rows(pool, rows, cols, [&](std::size_t r) {
      make(r);
      if (int8) quantize_row(r);
    });
  }

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  const float* f32() const noexcept { return x_; }

  /// Makes the form for float weights unless it is there: the columns one after the other, so that a tile of
  /// rows reads neighbours. A single row is its own.
  void transpose(ThreadPool& pool);
  /// [cols][rows].
  const float* columns() const noexcept { return rows_ == 1 ? x_ : columns_.data(); }

  /// Makes the int8 form unless it is there. cols must be a multiple of 32.
  void quantize(ThreadPool& pool);
  /// int8 values in -127..127, [cols/32][rows][32].
  const std::int8_t* q8() const noexcept { return q8_.data(); }
  /// [cols/32][rows].
  const ActivationTerms* terms() const noexcept { return terms_.data(); }

 private:
  void begin_int8();
  void quantize_row(std::size_t r) noexcept;

  const float* x_ = nullptr;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  bool quantized_ = false;
  bool transposed_ = false;
  AlignedBuffer<float> columns_;
  AlignedBuffer<std::int8_t> q8_;
  AlignedBuffer<ActivationTerms> terms_;
};

/// Where the product with one weight matrix goes: f32 [x rows][y_stride], y_stride >= weights->rows().
struct MatmulTarget {
  const PackedMatrix* weights = nullptr;
  float* y = nullptr;
  std::size_t y_stride = 0;
};

/// Several products of the same rows, of which the threads take parts together: they meet once for all, not
/// once for each. At most matmul_targets_max, of any types.
inline constexpr std::size_t matmul_targets_max = 4;
void matmul(std::span<const MatmulTarget> targets, Activations& x, ThreadPool& pool);

/// y[r * y_stride + i] = sum over k of x[r, k] * w[i, k], for every row r of x and i in [0, w.rows()).
/// Reads each weight once per call for up to some tens of rows. x.cols() == w.cols(); y_stride >= w.rows(),
/// in floats.
void matmul(const PackedMatrix& w, Activations& x, float* y, std::size_t y_stride, ThreadPool& pool);

}  // namespace troupe
