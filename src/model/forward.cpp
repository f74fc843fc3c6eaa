#include "model/forward.hpp"

#include <algorithm>
#include <cmath>

#include "base/check.hpp"
#include "kernels/default_arithmetic.hpp"
#include "kernels/ops.hpp"

namespace troupe {
namespace {

void clamp_in_place(float* x, float limit, std::size_t n) {
  for (std::size_t i = 0; i < n; ++i) x[i] = std::clamp(x[i], -limit, limit);
}

}  // namespace

Forward::Forward(const ModelParts& model, KvCache& cache, ThreadPool& pool, std::size_t context_tokens)
    : model_(model), config_(model.config), cache_(cache), pool_(pool) {
  const RopeConfig& rope = config_.rope;
  const bool is_long = rope.original_context != 0 && context_tokens > rope.original_context;
  const auto use = [is_long](Rotation& rotation, const RopeTable& table) {
    rotation.frequencies =
        is_long && !table.long_frequencies.empty() ? &table.long_frequencies : &table.frequencies;
    rotation.magnitude = static_cast<float>(table.magnitude);
  };
  use(full_rotation_, rope.full);
  use(windowed_rotation_, rope.windowed);
}

void Forward::run(const StepBatch& batch, LogitsBlock& logits) {
  rows_ = batch.rows.size();
  TROUPE_CHECK(rows_ > 0);
  const DefaultArithmetic arithmetic;
  embed(batch);
  set_positions(batch);
  for (std::size_t layer = 0; layer < config_.layers; ++layer) {
    attend(batch, layer);
    feed_forward(model_.weights.layers[layer]);
  }
  compute_logits(batch, logits);
}

/// x = embedding[token] · scale, and + positions[position] where those are learned.
void Forward::embed(const StepBatch& batch) {
  const bool learned = config_.architecture.positions == PositionKind::learned;
  x_.resize(rows_ * config_.width);
  h_.resize(rows_ * config_.width);
  outputs_count_ = 0;
  for (std::size_t r = 0; r < rows_; ++r) {
    const StepRow& row = batch.rows[r];
    float* x = x_.data() + r * config_.width;
    TROUPE_CHECK(row.token >= 0 && static_cast<std::uint32_t>(row.token) < config_.vocab_size);
    model_.weights.embedding.read_row(static_cast<std::size_t>(row.token), x);
    if (config_.embedding_scale != 1) scale_in_place(x, config_.embedding_scale, config_.width);
    if (!learned) continue;
    TROUPE_CHECK(row.position < config_.context_tokens);
    model_.weights.positions.read_row(row.position, h_.data());
    add_in_place(x, h_.data(), config_.width);
  }
}

/// Makes room in the cache for every row and prepares what all layers share: the rotations and page tables.
void Forward::set_positions(const StepBatch& batch) {
  const std::size_t pairs = config_.rope.dim / 2;
  const bool rotary = config_.architecture.positions == PositionKind::rotary;
  for (Rotation* rotation : {&full_rotation_, &windowed_rotation_}) {
    rotation->cosines.resize(rows_ * pairs);
    rotation->sines.resize(rows_ * pairs);
  }
  page_table_.clear();
  page_table_start_.resize(rows_);
  pages_count_.resize(rows_);
  for (std::size_t begin = 0; begin < rows_;) {
    const SequenceId sequence = batch.rows[begin].sequence;
    const std::size_t length = cache_.length(sequence);
    std::size_t end = begin;
    for (; end < rows_ && batch.rows[end].sequence == sequence; ++end) {
      TROUPE_CHECK(batch.rows[end].position == length + (end - begin));
    }
    cache_.append(sequence, end - begin);
    const auto& pages = cache_.pages(sequence);
    for (std::size_t r = begin; r < end; ++r) {
      page_table_start_[r] = page_table_.size();
      pages_count_[r] = pages.size();
      if (!rotary) continue;
      set_angles(full_rotation_, r, batch.rows[r].position);
      if (config_.window != 0) set_angles(windowed_rotation_, r, batch.rows[r].position);
    }
    page_table_.insert(page_table_.end(), pages.begin(), pages.end());
    begin = end;
  }
}

void Forward::set_angles(Rotation& rotation, std::size_t row, std::uint32_t position) {
  const std::size_t pairs = config_.rope.dim / 2;
  for (std::size_t i = 0; i < pairs; ++i) {
    const double angle = position * (*rotation.frequencies)[i];
    rotation.cosines[row * pairs + i] = static_cast<float>(std::cos(angle)) * rotation.magnitude;
    rotation.sines[row * pairs + i] = static_cast<float>(std::sin(angle)) * rotation.magnitude;
  }
}

/// Output W_o attention(rope(norm(W_q norm(x))), rope(norm(W_k norm(x))), W_v norm(x)), with those norms, and
/// the rotation, that the layer has.
void Forward::attend(const StepBatch& batch, std::size_t layer) {
  const LayerWeights& weights = model_.weights.layers[layer];
  q_.resize(rows_ * config_.q_width());
  k_.resize(rows_ * config_.kv_width());
  v_.resize(rows_ * config_.kv_width());
  attended_.resize(rows_ * config_.q_width());
  attention_rows_.resize(rows_);

  multiply_input(weights.attention_norm, Outputs::taken,
                 {{weights.query, q_.data()}, {weights.key, k_.data()}, {weights.value, v_.data()}});
  parallel_rows(pool_, rows_, config_.q_width() + 2 * config_.kv_width(),
                [&](std::size_t r) { place_row(batch.rows[r], r, layer); });
  attention(cache_.layer(layer), attention_rows_, attention_scratch_, pool_);

  activations_.assign(attended_.data(), rows_, config_.q_width());
  if (config_.parallel) beside_.resize(rows_ * config_.width);
  multiply_output(weights.attention_output, weights.attention_post_norm, config_.parallel ? beside_ : h_);
}

/// Biases of one row's query, key and value; norm and rotation of query and key; its key and value into the
/// cache; what it attends to.
void Forward::place_row(const StepRow& row, std::size_t r, std::size_t layer) {
  const LayerWeights& weights = model_.weights.layers[layer];
  const QkNorm qk_norm = config_.architecture.qk_norm;
  const bool windowed = config_.is_windowed(layer);
  float* q = q_.data() + r * config_.q_width();
  float* k = k_.data() + r * config_.kv_width();
  float* v = v_.data() + r * config_.kv_width();
  add_bias(weights.query, q);
  add_bias(weights.key, k);
  add_bias(weights.value, v);
  if (config_.qkv_clamp != 0) {
    clamp_in_place(q, config_.qkv_clamp, config_.q_width());
    clamp_in_place(k, config_.qkv_clamp, config_.kv_width());
    clamp_in_place(v, config_.qkv_clamp, config_.kv_width());
  }
  const auto normalise_both = [&] {
    normalise_heads(q, weights.query_norm, config_.heads);
    normalise_heads(k, weights.key_norm, config_.kv_heads);
  };
  if (weights.query_norm.present() && qk_norm != QkNorm::per_head_after_rope) normalise_both();
  if (config_.is_rotated(layer)) {
    const Rotation& rotation = windowed ? windowed_rotation_ : full_rotation_;
    const RopeStyle style = config_.architecture.rope_style;
    const float* cosines = rotation.cosines.data() + r * (config_.rope.dim / 2);
    const float* sines = rotation.sines.data() + r * (config_.rope.dim / 2);
    rope(style, q, config_.heads, config_.head_dim, config_.rope.dim, cosines, sines);
    rope(style, k, config_.kv_heads, config_.head_dim, config_.rope.dim, cosines, sines);
  }
  if (qk_norm == QkNorm::per_head_after_rope) normalise_both();
  if (config_.temperature_scale != 0) {
    const std::uint32_t lengths = row.position / config_.temperature_length;
    scale_in_place(q, 1 + config_.temperature_scale * std::log(1 + static_cast<float>(lengths)),
                   config_.q_width());
  }

  const std::size_t position = row.position;
  const std::span pages(page_table_.data() + page_table_start_[r], pages_count_[r]);
  // The cache hands out its pages for writing to the one Forward that fills them.
  auto* page = const_cast<std::byte*>(pages[position / page_tokens]);
  store_kv(cache_.layer(layer), page, position % page_tokens, k, v);
  const bool hides = windowed && position >= config_.window;
  const std::size_t first = hides ? position + 1 - config_.window : 0;
  attention_rows_[r] = {q, attended_.data() + r * config_.q_width(), pages, position, first};
}

/// Output W_down (activation(W_gate norm(x)) · W_up norm(x)), without a gate W_down activation(W_up norm(x)).
void Forward::feed_forward(const LayerWeights& layer) {
  const std::size_t width = config_.ffn_width;
  const FeedForwardKind kind = config_.architecture.feed_forward;
  const bool gated = is_gated(kind);
  const Norm& norm = layer.ffn_norm.present() ? layer.ffn_norm : layer.attention_norm;
  const Outputs attended = config_.parallel ? Outputs::left : Outputs::taken;
  up_.resize(rows_ * width);
  if (gated) {
    gate_.resize(rows_ * width);
    multiply_input(norm, attended, {{layer.ffn_up, up_.data()}, {layer.ffn_gate, gate_.data()}});
  } else {
    multiply_input(norm, attended, {{layer.ffn_up, up_.data()}});
  }
  float* hidden = gated ? gate_.data() : up_.data();
  activations_.make(hidden, rows_, width, reads_int8(layer.ffn_down.weight), pool_, [&](std::size_t r) {
    float* row = hidden + r * width;
    float* up = up_.data() + r * width;
    add_bias(layer.ffn_up, up);
    if (gated) add_bias(layer.ffn_gate, row);
    if (kind == FeedForwardKind::silu_gated) silu_mul(row, up, width);
    if (kind == FeedForwardKind::relu_squared_plain) relu_squared(row, width);
    if (has_gelu(kind)) (config_.gelu_f16 ? gelu_f16 : gelu)(row, width);
    if (kind == FeedForwardKind::gelu_gated) mul_in_place(row, up, width);
  });
  multiply_output(layer.ffn_down, layer.ffn_post_norm, h_);
}

/// Products with a block's input: norm(x), or x where there is no norm in front. The input's rows are made
/// one by one, each from the output of the block before to the form that the weights want.
void Forward::multiply_input(const Norm& norm, Outputs outputs, std::initializer_list<LinearTarget> targets) {
  const bool int8 = std::any_of(targets.begin(), targets.end(),
                                [](const LinearTarget& target) { return reads_int8(target.linear.weight); });
  activations_.make((norm.present() ? h_ : x_).data(), rows_, config_.width, int8, pool_, [&](std::size_t r) {
    if (outputs == Outputs::taken) take_outputs(r);
    if (norm.present()) normalise(x_.data() + r * config_.width, norm, h_.data() + r * config_.width);
  });
  if (outputs == Outputs::taken) outputs_count_ = 0;
  multiply(targets);
}

/// The product with a block's last matrix. What is left to do to it, until it is part of x, waits for whoever
/// comes to its rows next.
void Forward::multiply_output(const Linear& linear, const Norm& post_norm, AlignedBuffer<float>& out) {
  multiply({{linear, out.data()}});
  outputs_[outputs_count_++] = {&linear, &post_norm, out.data()};
}

/// x += scale · post_norm(output), for row r and every output that waits.
void Forward::take_outputs(std::size_t r) {
  const std::size_t width = config_.width;
  for (std::size_t i = 0; i < outputs_count_; ++i) {
    float* row = outputs_[i].values + r * width;
    add_bias(*outputs_[i].linear, row);
    if (outputs_[i].post_norm->present()) normalise(row, *outputs_[i].post_norm, row);
    if (config_.residual_scale != 1) scale_in_place(row, config_.residual_scale, width);
    add_in_place(x_.data() + r * width, row, width);
  }
}

/// Only the rows that want logits pay for the output matrix.
void Forward::compute_logits(const StepBatch& batch, LogitsBlock& logits) {
  logits.rows = batch.logits_rows();
  logits.vocab = config_.vocab_size;
  logits.values.resize(logits.rows * logits.vocab);
  if (logits.rows == 0) return;
  top_counts_.clear();
  logits_rows_.clear();
  for (std::size_t r = 0; r < rows_; ++r) {
    if (!batch.rows[r].wants_logits) continue;
    top_counts_.push_back(batch.rows[r].top_count);
    logits_rows_.push_back(r);
  }
  const std::size_t width = config_.width;
  last_.resize(logits.rows * width);
  activations_.make(last_.data(), logits.rows, width, reads_int8(model_.weights.output_matrix()), pool_,
                    [&](std::size_t i) {
                      const std::size_t r = logits_rows_[i];
                      take_outputs(r);
                      normalise(x_.data() + r * width, model_.weights.output_norm, last_.data() + i * width);
                    });
  matmul(model_.weights.output_matrix(), activations_, logits.values.data(), logits.vocab, pool_);
  finish_logits(logits);
  top_logits_.find(top_counts_, logits, pool_);
}

void Forward::finish_logits(LogitsBlock& logits) {
  const AlignedBuffer<float>& bias = model_.weights.output_bias;
  if (bias.size() == 0 && config_.logit_scale == 1 && config_.logit_softcap == 0) return;
  parallel_rows(pool_, logits.rows, logits.vocab, [&](std::size_t r) {
    float* row = logits.values.data() + r * logits.vocab;
    if (bias.size() != 0) add_in_place(row, bias.data(), logits.vocab);
    if (config_.logit_scale != 1) scale_in_place(row, config_.logit_scale, logits.vocab);
    if (config_.logit_softcap != 0) soft_cap(row, config_.logit_softcap, logits.vocab);
  });
}

/// One row; x may be out.
void Forward::normalise(const float* x, const Norm& norm, float* out) const {
  if (config_.architecture.norm == NormKind::rms)
    rms_norm(x, norm.weight.data(), config_.norm_eps, 1, config_.width, out);
  else
    layer_norm(x, norm.weight.data(), norm.bias.data(), config_.norm_eps, 1, config_.width, out);
}

/// Query or key of one row, in place.
void Forward::normalise_heads(float* x, const Norm& norm, std::size_t heads) const {
  const std::size_t cols = norm.weight.size(), head_dim = config_.head_dim;
  if (config_.architecture.qk_norm != QkNorm::layer_each_head) {
    const bool whole = config_.architecture.qk_norm == QkNorm::whole;
    rms_norm(x, norm.weight.data(), config_.norm_eps, whole ? 1 : heads, cols, x);
    return;
  }
  for (std::size_t at = 0; at < cols; at += head_dim)
    layer_norm(x + at, norm.weight.data() + at, norm.bias.data(), config_.norm_eps, 1, head_dim, x + at);
}

/// Products of the rows in activations_, without biases: y f32 [rows][linear's rows] each.
void Forward::multiply(std::initializer_list<LinearTarget> targets) {
  std::array<MatmulTarget, matmul_targets_max> products;
  std::size_t count = 0;
  for (const LinearTarget& target : targets)
    products[count++] = {&target.linear.weight, target.y, target.linear.weight.rows()};
  matmul(std::span(products).first(count), activations_, pool_);
}

void Forward::add_bias(const Linear& linear, float* y) {
  if (linear.bias.size() != 0) add_in_place(y, linear.bias.data(), linear.bias.size());
}

}  // namespace troupe
