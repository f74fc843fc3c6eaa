#include "kernels/matmul.hpp"

#include <algorithm>
#include <array>

#include "base/check.hpp"
#include "kernels/parallel_runs.hpp"
#include "kernels/weight_kernel.hpp"

namespace troupe {
namespace {

constexpr std::array weight_kernels{&f32_weights,  &f16_weights,    &bf16_weights,  &q8_0_weights,
                                    &q4_0_weights, &q4_1_weights,   &q5_0_weights,  &q5_1_weights,
                                    &q2_k_weights, &q3_k_weights,   &q4_k_weights,  &q5_k_weights,
                                    &q6_k_weights, &iq4_nl_weights, &iq4_xs_weights};

const WeightKernel* find_kernel(TensorType type) noexcept {
  for (const WeightKernel* kernel : weight_kernels)
    if (kernel->type == type) return kernel;
  return nullptr;
}

std::size_t bytes_per_group(const WeightKernel& kernel, std::size_t cols) {
  return cols / kernel.block_cols * kernel.block_bytes;
}

std::size_t groups_of(const WeightKernel& kernel, std::size_t rows) {
  return (rows + kernel.group_rows - 1) / kernel.group_rows;
}

// Few rows: memory sets the pace. Groups that are taken at a time, for a few microseconds, lie one after the
// other, and so do those that a thread takes one after the other.
constexpr std::size_t few_rows = 8, chunk_bytes = 65536;
// Many rows: arithmetic does. Rows per pass over the weights, and weight rows that share them in the nearest
// cache; less of both where there would be too few parts for all threads to end at the same time.
constexpr std::size_t pass_rows_max = 256, pass_rows_min = 64, chunk_rows_max = 64, chunk_rows_min = 32,
                      parts_per_thread = 8;
// Below this many multiplications a product is over before another thread would have joined.
constexpr std::size_t serial_products = 16384;

/// One target, cut into tasks. The cut changes no bits.
struct Product {
  const WeightKernel* kernel = nullptr;
  MatmulOperands operands;
  std::size_t groups = 0;
  std::size_t chunk_groups = 1;
  std::size_t pass_rows = pass_rows_max;

  std::size_t chunks() const { return (groups + chunk_groups - 1) / chunk_groups; }
  std::size_t tasks() const { return chunks() * ((operands.x->rows() + pass_rows - 1) / pass_rows); }
  void run(std::size_t task) const {
    const std::size_t group = task % chunks() * chunk_groups, row = task / chunks() * pass_rows;
    kernel->multiply(operands, {group, std::min(groups, group + chunk_groups), row,
                                std::min(operands.x->rows(), row + pass_rows)});
  }
};

/// Also makes the form of x that the weights want.
Product prepare(const MatmulTarget& target, Activations& x, ThreadPool& pool) {
  const PackedMatrix& w = *target.weights;
  TROUPE_CHECK(x.cols() == w.cols() && target.y_stride >= w.rows());
  Product product;
  product.kernel = find_kernel(w.type());
  if (product.kernel->int8_activations)
    x.quantize(pool);
  else
    x.transpose(pool);
  product.operands = {
      w.data(),       bytes_per_group(*product.kernel, w.cols()), w.rows(), w.cols(), &x, target.y,
      target.y_stride};
  product.groups = groups_of(*product.kernel, w.rows());
  if (x.rows() <= few_rows) {
    product.chunk_groups = std::clamp<std::size_t>(chunk_bytes / product.operands.group_bytes, 1, 16);
    return product;
  }
  product.chunk_groups = chunk_rows_max / product.kernel->group_rows;
  const std::size_t chunk_groups_min = chunk_rows_min / product.kernel->group_rows;
  const std::size_t parts = parts_per_thread * pool.threads();
  while (product.chunk_groups > chunk_groups_min && product.tasks() < parts) product.chunk_groups /= 2;
  while (product.pass_rows > pass_rows_min && product.tasks() < parts) product.pass_rows /= 2;
  return product;
}

}  // namespace

bool reads_int8(const PackedMatrix& w) noexcept {
  return find_kernel(w.type())->int8_activations;
}

bool matmul_supports(TensorType type) noexcept {
  return find_kernel(type) != nullptr;
}

std::vector<TensorType> matmul_types() {
  std::vector<TensorType> types;
  for (const WeightKernel* kernel : weight_kernels) types.push_back(kernel->type);
  return types;
}

std::size_t PackedMatrix::packed_bytes(TensorType type, std::size_t rows, std::size_t cols) noexcept {
  const WeightKernel* kernel = find_kernel(type);
  return kernel == nullptr ? 0 : groups_of(*kernel, rows) * bytes_per_group(*kernel, cols);
}

PackedMatrix PackedMatrix::pack(TensorType type, std::size_t rows, std::size_t cols,
                                std::span<const std::byte> data, ThreadPool& pool) {
  const WeightKernel* kernel = find_kernel(type);
  TROUPE_CHECK(kernel != nullptr);
  const TensorTypeInfo info = tensor_type_info(type);
  TROUPE_CHECK(cols % info.block_elements == 0 && cols % kernel->block_cols == 0);
  const std::size_t row_bytes = cols / info.block_elements * info.block_bytes;
  TROUPE_CHECK(data.size() == rows * row_bytes);

  PackedMatrix packed;
  packed.type_ = type, packed.rows_ = rows, packed.cols_ = cols;
  packed.bytes_.resize(packed_bytes(type, rows, cols));
  const std::size_t group_bytes = bytes_per_group(*kernel, cols);
  pool.parallel_for(groups_of(*kernel, rows), [&](std::size_t group, unsigned) {
    const std::size_t first = group * kernel->group_rows;
    kernel->pack_group(data.data() + first * row_bytes, row_bytes, std::min(kernel->group_rows, rows - first),
                       cols, packed.bytes_.data() + group * group_bytes);
  });
  return packed;
}

void PackedMatrix::read_row(std::size_t row, float* out) const {
  TROUPE_CHECK(row < rows_);
  const WeightKernel& kernel = *find_kernel(type_);
  kernel.read_row(bytes_.data() + row / kernel.group_rows * bytes_per_group(kernel, cols_),
                  row % kernel.group_rows, cols_, out);
}

void matmul(std::span<const MatmulTarget> targets, Activations& x, ThreadPool& pool) {
  TROUPE_CHECK(targets.size() <= matmul_targets_max);
  std::array<Product, matmul_targets_max> products;
  std::size_t tasks = 0, multiplications = 0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    products[i] = prepare(targets[i], x, pool);
    tasks += products[i].tasks();
    multiplications += targets[i].weights->rows() * x.cols() * x.rows();
  }
  const auto task = [&](std::size_t index) {
    const Product* product = products.data();
    for (; index >= product->tasks(); ++product) index -= product->tasks();
    product->run(index);
  };
  if (multiplications <= serial_products)
    for (std::size_t index = 0; index < tasks; ++index) task(index);
  else
    parallel_runs(pool, tasks, task);
}

void matmul(const PackedMatrix& w, Activations& x, float* y, std::size_t y_stride, ThreadPool& pool) {
  const MatmulTarget target{&w, y, y_stride};
  matmul({&target, 1}, x, pool);
}

}  // namespace troupe
