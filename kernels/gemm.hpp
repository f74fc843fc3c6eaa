#pragma once
// f32 matrix products for training. Every output element is a chain of multiply-adds over k in ascending
// order, cut into blocks whose length depends on k alone; so the bits of a result depend neither on the
// number of threads nor on how the output is cut into tiles.

#include <cstddef>
#include <vector>

#include "kernels/aligned.hpp"
#include "kernels/thread_pool.hpp"

namespace troupe {

/// Which of the operands is stored transposed. All matrices are row-major.
enum class GemmForm : unsigned char {
  ab,   ///< C[m,n] = A[m,k] · B[k,n]
  abt,  ///< C[m,n] = A[m,k] · B[n,k]ᵀ
  atb,  ///< C[m,n] = A[k,m]ᵀ · B[k,n]
};

/// Packed operands of one product; reused from call to call, grows to the largest. Not thread-safe.
class GemmScratch {
 public:
  float* packed_b(std::size_t floats) {
    b_.resize(floats);
    return b_.data();
  }
  /// One slice per worker, of the size that packed_a_floats() says.
  void prepare_a(std::size_t floats_per_worker, unsigned workers) {
    per_worker_ = floats_per_worker;
    a_.resize(floats_per_worker * workers);
  }
  float* packed_a(unsigned worker) { return a_.data() + worker * per_worker_; }

 private:
  AlignedBuffer<float> b_;
  AlignedBuffer<float> a_;
  std::size_t per_worker_ = 0;
};

/// A matrix in memory: its first element and the floats from one row to the next.
struct GemmMatrix {
  const float* data = nullptr;
  std::size_t stride = 0;
};

/// C = A·B, or C += A·B with `accumulate`, in the given form. c has n of c_stride floats in each of its m
/// rows and overlaps neither operand. m, n and k may be anything; k = 0 gives zeros.
void gemm(GemmForm form, std::size_t m, std::size_t n, std::size_t k, GemmMatrix a, GemmMatrix b, float* c,
          std::size_t c_stride, bool accumulate, GemmScratch& scratch, ThreadPool& pool);

}  // namespace troupe
