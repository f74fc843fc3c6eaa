#include "train/network.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.hpp"
#include "kernels/ops.hpp"
#include "kernels/train_ops.hpp"

namespace troupe::train {
namespace {

// Rows that one task of a row-wise operation takes, and columns of one that sums over rows. Fixed: a sum over
// rows is cut nowhere, and the cuts of everything else do not show in its bits.
constexpr std::size_t rows_per_task = 64;
constexpr std::size_t cols_per_task = 32;
// Logits of this many rows exist at a time. The head's gradient is summed chunk by chunk, so this is part of
// the order of that sum.
constexpr std::size_t head_rows = 512;

template <class Body>
void for_rows(ThreadPool& pool, std::size_t rows, Body&& body) {
  pool.parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](std::size_t task, unsigned) {
    const std::size_t first = task * rows_per_task;
    body(first, std::min(rows_per_task, rows - first));
  });
}

template <class Body>
void for_cols(ThreadPool& pool, std::size_t cols, Body&& body) {
  pool.parallel_for((cols + cols_per_task - 1) / cols_per_task, [&](std::size_t task, unsigned) {
    const std::size_t first = task * cols_per_task;
    body(first, std::min(cols_per_task, cols - first));
  });
}

// Dropout's places in a pass.
constexpr std::size_t embedding_site = 0;
constexpr std::size_t attention_site(std::size_t layer) {
  return 1 + 2 * layer;
}
constexpr std::size_t feed_forward_site(std::size_t layer) {
  return 2 + 2 * layer;
}

std::uint64_t dropout_stream(const Dropout& dropout, std::size_t site) {
  // Never 0: that is the stream of uniform_at(), which draws windows and initial values.
  return (dropout.pass + 1) << 24 | site;
}

}  // namespace

Network::Network(const ModelShape& shape, std::size_t windows_max, ThreadPool& pool)
    : shape_(shape), layout_(shape), pool_(pool) {
  const std::size_t rows = windows_max * shape.context, width = shape.width;
  layers_.resize(shape.layers);
  for (LayerBuffers& b : layers_) {
    b.x_in.resize(rows * width);
    b.normed1.resize(rows * width);
    b.means1.resize(rows);
    b.factors1.resize(rows);
    b.qkv.resize(rows * shape.qkv_width());
    b.log_sums.resize(rows * shape.heads);
    b.attended.resize(rows * width);
    b.x_mid.resize(rows * width);
    b.normed2.resize(rows * width);
    b.means2.resize(rows);
    b.factors2.resize(rows);
    b.up.resize(rows * shape.up_width());
    b.activated.resize(rows * shape.ffn);
  }
  x_last_.resize(rows * width);
  normed_.resize(rows * width);
  means_.resize(rows);
  factors_.resize(rows);
  logits_.resize(std::min(rows, head_rows) * shape.vocab);
  losses_.resize(rows);
  d_x_.resize(rows * width);
  d_masked_.resize(rows * width);
  d_narrow_.resize(rows * width);
  d_attended_.resize(rows * width);
  d_wide_.resize(rows * std::max(shape.qkv_width(), shape.up_width()));
  d_activated_.resize(rows * shape.ffn);
  if (shape.style != Style::llama) return;
  const std::size_t pairs = shape.head_dim() / 2;
  cosines_.resize(shape.context * pairs);
  sines_.resize(shape.context * pairs);
  minus_sines_.resize(shape.context * pairs);
  for (std::size_t t = 0; t < shape.context; ++t)
    for (std::size_t i = 0; i < pairs; ++i) {
      const double frequency =
          std::pow(static_cast<double>(shape.rope_base),
                   -2.0 * static_cast<double>(i) / static_cast<double>(shape.head_dim()));
      const double angle = static_cast<double>(t) * frequency;
      cosines_[t * pairs + i] = static_cast<float>(std::cos(angle));
      sines_[t * pairs + i] = static_cast<float>(std::sin(angle));
      minus_sines_[t * pairs + i] = -sines_[t * pairs + i];
    }
}

std::uint64_t Network::buffer_bytes(const ModelShape& s, std::size_t windows_max) {
  const std::uint64_t rows = static_cast<std::uint64_t>(windows_max) * s.context;
  const std::uint64_t layer = 5 * s.width + s.qkv_width() + s.up_width() + s.ffn + s.heads + 4;
  const std::uint64_t shared = 6 * s.width + std::max(s.qkv_width(), s.up_width()) + s.ffn + 3;
  return 4 * (rows * (s.layers * layer + shared) + std::min<std::uint64_t>(rows, head_rows) * s.vocab);
}

// ---- Parts of a layer.

void Network::norm(const Pass& pass, const float* x, std::size_t weight, std::size_t bias, float* out,
                   float* means, float* factors) {
  const std::size_t w = shape_.width;
  const float* p = pass.parameters;
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    if (shape_.style == Style::llama)
      train_rms_norm(x + first * w, p + weight, shape_.norm_eps, count, w, out + first * w, factors + first);
    else
      train_layer_norm(x + first * w, p + weight, p + bias, shape_.norm_eps, count, w, out + first * w,
                       means + first, factors + first);
  });
}

void Network::norm_backward(const Pass& pass, const float* x, std::size_t weight, std::size_t bias,
                            const float* means, const float* factors, const float* d_out) {
  const std::size_t w = shape_.width;
  const bool centred = shape_.style == Style::gpt2;
  for_cols(pool_, w, [&](std::size_t first, std::size_t count) {
    train_norm_weight_backward(x, centred ? means : nullptr, factors, d_out, pass.rows, w, first, count,
                               pass.gradients + weight);
    if (centred) train_bias_backward(d_out, pass.rows, w, first, count, pass.gradients + bias);
  });
  const float* gain = pass.parameters + weight;
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    const std::size_t at = first * w;
    if (centred)
      train_layer_norm_backward(x + at, gain, means + first, factors + first, d_out + at, count, w,
                                d_x_.data() + at);
    else
      train_rms_norm_backward(x + at, gain, factors + first, d_out + at, count, w, d_x_.data() + at);
  });
}

void Network::linear(const Pass& pass, const float* x, std::size_t in, std::size_t weight, std::size_t bias,
                     std::size_t out_width, float* out) {
  gemm(GemmForm::abt, pass.rows, out_width, in, {x, in}, {pass.parameters + weight, in}, out, out_width,
       false, gemm_, pool_);
  if (!shape_.has_biases()) return;
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    train_add_bias(out + first * out_width, pass.parameters + bias, count, out_width);
  });
}

void Network::linear_backward(const Pass& pass, const float* x, std::size_t in, std::size_t weight,
                              std::size_t bias, std::size_t out_width, const float* d_out, float* d_x) {
  gemm(GemmForm::atb, out_width, in, pass.rows, {d_out, out_width}, {x, in}, pass.gradients + weight, in,
       true, gemm_, pool_);
  gemm(GemmForm::ab, pass.rows, in, out_width, {d_out, out_width}, {pass.parameters + weight, in}, d_x, in,
       false, gemm_, pool_);
  if (!shape_.has_biases()) return;
  for_cols(pool_, out_width, [&](std::size_t first, std::size_t count) {
    train_bias_backward(d_out, pass.rows, out_width, first, count, pass.gradients + bias);
  });
}

/// y = x + y, with dropout on y.
void Network::join_residual(const Pass& pass, const float* x, std::size_t site, float* y) {
  const std::size_t w = shape_.width;
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    const std::size_t at = first * w;
    if (pass.dropout.rate > 0)
      train_dropout(y + at, x + at, count * w, pass.dropout.rate, pass.dropout.seed,
                    dropout_stream(pass.dropout, site), at);
    else
      add_in_place(y + at, x + at, count * w);
  });
}

/// The gradient of what a sublayer added to the residual stream, whose own gradient is d_x_.
const float* Network::residual_gradient(const Pass& pass, std::size_t site) {
  if (pass.dropout.rate <= 0) return d_x_.data();
  const std::size_t w = shape_.width;
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    const std::size_t at = first * w;
    std::memcpy(d_masked_.data() + at, d_x_.data() + at, count * w * sizeof(float));
    train_dropout(d_masked_.data() + at, nullptr, count * w, pass.dropout.rate, pass.dropout.seed,
                  dropout_stream(pass.dropout, site), at);
  });
  return d_masked_.data();
}

/// Rotates q and k of each row by its position's angles; by the opposite ones when the sines are negated.
void Network::turn(const Pass& pass, float* qkv, const float* sines) {
  if (shape_.style != Style::llama) return;
  const std::size_t stride = shape_.qkv_width(), dim = shape_.head_dim(), pairs = dim / 2;
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    for (std::size_t r = first; r < first + count; ++r) {
      const std::size_t at = r % pass.time * pairs;
      // k lies behind q, in heads of the same size.
      rope(RopeStyle::adjacent, qkv + r * stride, shape_.heads + shape_.kv_heads, dim, dim,
           cosines_.data() + at, sines + at);
    }
  });
}

TrainAttentionShape Network::attention_shape(const Pass& pass) const {
  TrainAttentionShape s;
  s.batch = pass.windows;
  s.time = pass.time;
  s.heads = shape_.heads;
  s.kv_heads = shape_.kv_heads;
  s.head_dim = shape_.head_dim();
  s.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(s.head_dim)));
  return s;
}

// ---- The passes.

void Network::begin(const Pass& pass, std::span<const Token> inputs) {
  const std::size_t w = shape_.width;
  float* x = layers_.front().x_in.data();
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    for (std::size_t r = first; r < first + count; ++r) {
      const auto token = static_cast<std::size_t>(inputs[r]);
      std::memcpy(x + r * w, pass.parameters + layout_.embedding + token * w, w * sizeof(float));
      if (shape_.style == Style::gpt2)
        add_in_place(x + r * w, pass.parameters + layout_.positions + r % pass.time * w, w);
    }
    if (pass.dropout.rate > 0)
      train_dropout(x + first * w, nullptr, count * w, pass.dropout.rate, pass.dropout.seed,
                    dropout_stream(pass.dropout, embedding_site), first * w);
  });
}

void Network::layer_forward(const Pass& pass, std::size_t layer, float* x_out) {
  LayerBuffers& b = layers_[layer];
  const LayerOffsets& o = layout_.layers[layer];
  const std::size_t w = shape_.width;
  norm(pass, b.x_in.data(), o.norm1, o.norm1_bias, b.normed1.data(), b.means1.data(), b.factors1.data());
  linear(pass, b.normed1.data(), w, o.qkv, o.qkv_bias, shape_.qkv_width(), b.qkv.data());
  turn(pass, b.qkv.data(), sines_.data());
  train_attention(attention_shape(pass), b.qkv.data(), b.attended.data(), b.log_sums.data(), attention_,
                  pool_);
  linear(pass, b.attended.data(), w, o.out, o.out_bias, w, b.x_mid.data());
  join_residual(pass, b.x_in.data(), attention_site(layer), b.x_mid.data());

  norm(pass, b.x_mid.data(), o.norm2, o.norm2_bias, b.normed2.data(), b.means2.data(), b.factors2.data());
  linear(pass, b.normed2.data(), w, o.up, o.up_bias, shape_.up_width(), b.up.data());
  const std::size_t ffn = shape_.ffn, up_width = shape_.up_width();
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    const float* up = b.up.data() + first * up_width;
    if (shape_.style == Style::llama)
      train_silu_mul(up, count, ffn, b.activated.data() + first * ffn);
    else
      train_gelu(up, count * ffn, b.activated.data() + first * ffn);
  });
  linear(pass, b.activated.data(), ffn, o.down, o.down_bias, w, x_out);
  join_residual(pass, b.x_mid.data(), feed_forward_site(layer), x_out);
}

void Network::layer_backward(const Pass& pass, std::size_t layer) {
  LayerBuffers& b = layers_[layer];
  const LayerOffsets& o = layout_.layers[layer];
  const std::size_t w = shape_.width, ffn = shape_.ffn, up_width = shape_.up_width();
  const float* d_added = residual_gradient(pass, feed_forward_site(layer));
  linear_backward(pass, b.activated.data(), ffn, o.down, o.down_bias, w, d_added, d_activated_.data());
  for_rows(pool_, pass.rows, [&](std::size_t first, std::size_t count) {
    const float* up = b.up.data() + first * up_width;
    const float* d = d_activated_.data() + first * ffn;
    if (shape_.style == Style::llama)
      train_silu_mul_backward(up, d, count, ffn, d_wide_.data() + first * up_width);
    else
      train_gelu_backward(up, d, count * ffn, d_wide_.data() + first * up_width);
  });
  linear_backward(pass, b.normed2.data(), w, o.up, o.up_bias, up_width, d_wide_.data(), d_narrow_.data());
  norm_backward(pass, b.x_mid.data(), o.norm2, o.norm2_bias, b.means2.data(), b.factors2.data(),
                d_narrow_.data());

  d_added = residual_gradient(pass, attention_site(layer));
  linear_backward(pass, b.attended.data(), w, o.out, o.out_bias, w, d_added, d_attended_.data());
  train_attention_backward(attention_shape(pass), b.qkv.data(), b.attended.data(), b.log_sums.data(),
                           d_attended_.data(), d_wide_.data(), attention_, pool_);
  turn(pass, d_wide_.data(), minus_sines_.data());
  linear_backward(pass, b.normed1.data(), w, o.qkv, o.qkv_bias, shape_.qkv_width(), d_wide_.data(),
                  d_narrow_.data());
  norm_backward(pass, b.x_in.data(), o.norm1, o.norm1_bias, b.means1.data(), b.factors1.data(),
                d_narrow_.data());
}

void Network::embedding_backward(const Pass& pass, std::span<const Token> inputs) {
  const std::size_t w = shape_.width;
  const float* d = residual_gradient(pass, embedding_site);
  // Columns are split, rows are taken in order: a token that occurs twice is summed in one order.
  for_cols(pool_, w, [&](std::size_t first, std::size_t count) {
    for (std::size_t r = 0; r < pass.rows; ++r) {
      const float* from = d + r * w + first;
      float* to = pass.gradients + layout_.embedding + static_cast<std::size_t>(inputs[r]) * w + first;
      for (std::size_t i = 0; i < count; ++i) to[i] += from[i];
      if (shape_.style != Style::gpt2) continue;
      float* position = pass.gradients + layout_.positions + r % pass.time * w + first;
      for (std::size_t i = 0; i < count; ++i) position[i] += from[i];
    }
  });
}

void Network::forward(const Pass& pass, std::span<const Token> inputs) {
  TROUPE_CHECK(inputs.size() == pass.rows && pass.time <= shape_.context && pass.rows <= losses_.size());
  begin(pass, inputs);
  for (std::size_t l = 0; l < layers_.size(); ++l)
    layer_forward(pass, l, l + 1 < layers_.size() ? layers_[l + 1].x_in.data() : x_last_.data());
  norm(pass, x_last_.data(), layout_.norm, layout_.norm_bias, normed_.data(), means_.data(), factors_.data());
}

/// The sum of the losses; with gradients, those of the head, and d_narrow_ = the gradient of normed_.
double Network::head(const Pass& pass, std::span<const Token> targets, float scale) {
  const std::size_t w = shape_.width, vocab = shape_.vocab;
  const float* weight = pass.parameters + layout_.head;
  for (std::size_t first = 0; first < pass.rows; first += head_rows) {
    const std::size_t rows = std::min(head_rows, pass.rows - first);
    const float* x = normed_.data() + first * w;
    gemm(GemmForm::abt, rows, vocab, w, {x, w}, {weight, w}, logits_.data(), vocab, false, gemm_, pool_);
    pool_.parallel_for((rows + 15) / 16, [&](std::size_t task, unsigned) {
      for (std::size_t r = task * 16; r < std::min(rows, task * 16 + 16); ++r) {
        const auto target = static_cast<std::size_t>(targets[first + r]);
        float* row = logits_.data() + r * vocab;
        losses_[first + r] = pass.gradients != nullptr ? train_cross_entropy(row, vocab, target, scale)
                                                       : train_cross_entropy_loss(row, vocab, target);
      }
    });
    if (pass.gradients == nullptr) continue;
    gemm(GemmForm::ab, rows, w, vocab, {logits_.data(), vocab}, {weight, w}, d_narrow_.data() + first * w, w,
         false, gemm_, pool_);
    gemm(GemmForm::atb, vocab, w, rows, {logits_.data(), vocab}, {x, w}, pass.gradients + layout_.head, w,
         true, gemm_, pool_);
  }
  double sum = 0;
  for (std::size_t r = 0; r < pass.rows; ++r) sum += static_cast<double>(losses_[r]);
  return sum;
}

double Network::backward(const float* parameters, const WindowBatch& batch, float scale,
                         const Dropout& dropout, float* gradients) {
  const Pass pass{parameters, gradients, batch.windows, batch.time, batch.windows * batch.time, dropout};
  forward(pass, batch.inputs);
  const double sum = head(pass, batch.targets, scale / static_cast<float>(pass.rows));
  std::fill_n(d_x_.data(), pass.rows * shape_.width, 0.0f);
  norm_backward(pass, x_last_.data(), layout_.norm, layout_.norm_bias, means_.data(), factors_.data(),
                d_narrow_.data());
  for (std::size_t l = layers_.size(); l-- > 0;) layer_backward(pass, l);
  embedding_backward(pass, batch.inputs);
  return sum / static_cast<double>(pass.rows);
}

double Network::loss(const float* parameters, const WindowBatch& batch) {
  const Pass pass{parameters, nullptr, batch.windows, batch.time, batch.windows * batch.time, {}};
  forward(pass, batch.inputs);
  return head(pass, batch.targets, 0) / static_cast<double>(pass.rows);
}

void Network::logits(const float* parameters, std::span<const Token> inputs, float* out) {
  const Pass pass{parameters, nullptr, 1, inputs.size(), inputs.size(), {}};
  forward(pass, inputs);
  gemm(GemmForm::abt, pass.rows, shape_.vocab, shape_.width, {normed_.data(), shape_.width},
       {parameters + layout_.head, shape_.width}, out, shape_.vocab, false, gemm_, pool_);
}

}  // namespace troupe::train
