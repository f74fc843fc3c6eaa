#include "model/forward.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/check.hpp"
#include "kernels/ops.hpp"

namespace troupe {

Forward::Forward(const ModelParts& model, KvCache& cache, ThreadPool& pool)
    : model_(model), config_(model.config), cache_(cache), pool_(pool) {}

/// body(row) for each of `rows` rows of `width` numbers, which are shared out when there is enough to do:
/// some microseconds' worth at a time, since a thread that joins costs about one.
template <class Body>
void Forward::each_row(std::size_t rows, std::size_t width, Body body) {
  constexpr std::size_t task_numbers = 8192;
  const std::size_t task_rows = std::max<std::size_t>(1, task_numbers / width);
  pool_.parallel_for((rows + task_rows - 1) / task_rows, [&](std::size_t task, unsigned) {
    for (std::size_t r = task * task_rows; r < std::min(rows, (task + 1) * task_rows); ++r) body(r);
  });
}

void Forward::run(const StepBatch& batch, LogitsBlock& logits) {
  rows_ = batch.rows.size();
  TROUPE_CHECK(rows_ > 0);
  embed(batch);
  set_positions(batch);
  for (std::size_t layer = 0; layer < config_.layers; ++layer) {
    attend(batch, layer);
    feed_forward(model_.weights.layers[layer]);
  }
  compute_logits(batch, logits);
}

/// x = embedding[token], and + positions[position] where those are learned.
void Forward::embed(const StepBatch& batch) {
  const bool learned = config_.architecture.positions == PositionKind::learned;
  x_.resize(rows_ * config_.width);
  h_.resize(rows_ * config_.width);
  for (std::size_t r = 0; r < rows_; ++r) {
    const StepRow& row = batch.rows[r];
    float* x = x_.data() + r * config_.width;
    TROUPE_CHECK(row.token >= 0 && static_cast<std::uint32_t>(row.token) < config_.vocab_size);
    model_.weights.embedding.read_row(static_cast<std::size_t>(row.token), x);
    if (!learned) continue;
    TROUPE_CHECK(row.position < config_.context_tokens);
    model_.weights.positions.read_row(row.position, h_.data());
    add_in_place(x, h_.data(), config_.width);
  }
}

/// Makes room in the cache for every row and prepares what all layers share: the rotations and page tables.
void Forward::set_positions(const StepBatch& batch) {
  const std::size_t pairs = config_.rope_dim / 2;
  cosines_.resize(rows_ * pairs);
  sines_.resize(rows_ * pairs);
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
      for (std::size_t i = 0; i < pairs; ++i) {
        const double angle = batch.rows[r].position * config_.rope_frequencies[i];
        cosines_[r * pairs + i] = static_cast<float>(std::cos(angle));
        sines_[r * pairs + i] = static_cast<float>(std::sin(angle));
      }
    }
    page_table_.insert(page_table_.end(), pages.begin(), pages.end());
    begin = end;
  }
}

/// x += W_o attention(rope(W_q norm(x)), rope(W_k norm(x)), W_v norm(x)); rope only with rotary positions
void Forward::attend(const StepBatch& batch, std::size_t layer) {
  const LayerWeights& weights = model_.weights.layers[layer];
  const AttentionLayer& place = cache_.layer(layer);
  const std::size_t q_width = config_.q_width();
  const std::size_t kv_width = config_.kv_width();
  const std::size_t pairs = config_.rope_dim / 2;
  q_.resize(rows_ * q_width);
  k_.resize(rows_ * kv_width);
  v_.resize(rows_ * kv_width);
  attended_.resize(rows_ * q_width);
  attention_rows_.resize(rows_);

  normalise(x_.data(), weights.attention_norm, rows_, h_.data());
  activations_.assign(h_.data(), rows_, config_.width);
  multiply({{weights.query, q_.data()}, {weights.key, k_.data()}, {weights.value, v_.data()}});

  each_row(rows_, q_width + 2 * kv_width, [&](std::size_t r) {
    float* q = q_.data() + r * q_width;
    float* k = k_.data() + r * kv_width;
    if (pairs != 0) {
      const RopeStyle style = config_.architecture.rope_style;
      const float* cosines = cosines_.data() + r * pairs;
      const float* sines = sines_.data() + r * pairs;
      rope(style, q, config_.heads, config_.head_dim, config_.rope_dim, cosines, sines);
      rope(style, k, config_.kv_heads, config_.head_dim, config_.rope_dim, cosines, sines);
    }
    const std::size_t position = batch.rows[r].position;
    const std::span pages(page_table_.data() + page_table_start_[r], pages_count_[r]);
    // The cache hands out its pages for writing to the one Forward that fills them.
    auto* page = const_cast<std::byte*>(pages[position / page_tokens]);
    store_kv(place, page, position % page_tokens, k, v_.data() + r * kv_width);
    attention_rows_[r] = {q, attended_.data() + r * q_width, pages, position, 0};
  });
  attention(place, attention_rows_, attention_scratch_, pool_);

  activations_.assign(attended_.data(), rows_, q_width);
  multiply({{weights.attention_output, h_.data()}});
  add(x_.data(), h_.data());
}

/// x += W_down (silu(W_gate norm(x)) · W_up norm(x)), or without a gate x += W_down gelu(W_up norm(x))
void Forward::feed_forward(const LayerWeights& layer) {
  const std::size_t width = config_.ffn_width;
  const bool gated = config_.architecture.feed_forward == FeedForwardKind::silu_gated;
  up_.resize(rows_ * width);
  normalise(x_.data(), layer.ffn_norm, rows_, h_.data());
  activations_.assign(h_.data(), rows_, config_.width);
  if (gated) {
    gate_.resize(rows_ * width);
    multiply({{layer.ffn_up, up_.data()}, {layer.ffn_gate, gate_.data()}});
  } else {
    multiply({{layer.ffn_up, up_.data()}});
  }
  float* hidden = gated ? gate_.data() : up_.data();
  each_row(rows_, width, [&](std::size_t r) {
    if (gated) {
      silu_mul(hidden + r * width, up_.data() + r * width, width);
    } else if (config_.gelu_f16) {
      gelu_f16(hidden + r * width, width);
    } else {
      gelu(hidden + r * width, width);
    }
  });
  activations_.assign(hidden, rows_, width);
  multiply({{layer.ffn_down, h_.data()}});
  add(x_.data(), h_.data());
}

/// Only the rows that want logits pay for the output matrix.
void Forward::compute_logits(const StepBatch& batch, LogitsBlock& logits) {
  logits.rows = batch.logits_rows();
  logits.vocab = config_.vocab_size;
  logits.values.resize(logits.rows * logits.vocab);
  if (logits.rows == 0) return;
  std::size_t wanted = 0;
  for (std::size_t r = 0; r < rows_; ++r) {
    if (!batch.rows[r].wants_logits) continue;
    if (wanted != r) {
      std::memcpy(x_.data() + wanted * config_.width, x_.data() + r * config_.width,
                  config_.width * sizeof(float));
    }
    ++wanted;
  }
  normalise(x_.data(), model_.weights.output_norm, wanted, h_.data());
  activations_.assign(h_.data(), wanted, config_.width);
  matmul(model_.weights.output_matrix(), activations_, logits.values.data(), logits.vocab, pool_);
}

void Forward::normalise(const float* x, const Norm& norm, std::size_t rows, float* out) {
  const std::size_t width = config_.width;
  each_row(rows, width, [&](std::size_t r) {
    if (config_.architecture.norm == NormKind::rms) {
      rms_norm(x + r * width, norm.weight.data(), config_.norm_eps, 1, width, out + r * width);
    } else {
      layer_norm(x + r * width, norm.weight.data(), norm.bias.data(), config_.norm_eps, 1, width,
                 out + r * width);
    }
  });
}

/// Products of the rows in activations_, each y f32 [rows][linear's rows].
void Forward::multiply(std::initializer_list<LinearTarget> targets) {
  std::array<MatmulTarget, matmul_targets_max> products;
  std::size_t count = 0;
  for (const LinearTarget& target : targets) {
    products[count++] = {&target.linear.weight, target.y, target.linear.weight.rows()};
  }
  matmul(std::span(products).first(count), activations_, pool_);
  for (const LinearTarget& target : targets) {
    const AlignedBuffer<float>& bias = target.linear.bias;
    if (bias.size() == 0) continue;
    for (std::size_t r = 0; r < activations_.rows(); ++r)
      add_in_place(target.y + r * bias.size(), bias.data(), bias.size());
  }
}

void Forward::add(float* x, const float* y) {
  each_row(rows_, config_.width,
           [&](std::size_t r) { add_in_place(x + r * config_.width, y + r * config_.width, config_.width); });
}

}  // namespace troupe
