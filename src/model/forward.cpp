#include "model/forward.hpp"

#include <cmath>
#include <cstring>

#include "base/check.hpp"
#include "kernels/ops.hpp"

namespace troupe {

Forward::Forward(const ModelParts& model, KvCache& cache, ThreadPool& pool)
    : model_(model), config_(model.config), cache_(cache), pool_(pool) {}

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

void Forward::embed(const StepBatch& batch) {
  x_.resize(rows_ * config_.width);
  h_.resize(rows_ * config_.width);
  for (std::size_t r = 0; r < rows_; ++r) {
    const Token token = batch.rows[r].token;
    TROUPE_CHECK(token >= 0 && static_cast<std::uint32_t>(token) < config_.vocab_size);
    model_.weights.embedding.read_row(static_cast<std::size_t>(token), x_.data() + r * config_.width);
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

/// x += W_o attention(rope(W_q norm(x)), rope(W_k norm(x)), W_v norm(x))
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

  norm(x_.data(), weights.attention_norm, rows_, h_.data());
  activations_.assign(h_.data(), rows_, config_.width);
  multiply(weights.query, q_.data());
  multiply(weights.key, k_.data());
  multiply(weights.value, v_.data());

  pool_.parallel_for(rows_, [&](std::size_t r, unsigned) {
    float* q = q_.data() + r * q_width;
    float* k = k_.data() + r * kv_width;
    const float* cosines = cosines_.data() + r * pairs;
    const float* sines = sines_.data() + r * pairs;
    rope(config_.rope_style, q, config_.heads, config_.head_dim, config_.rope_dim, cosines, sines);
    rope(config_.rope_style, k, config_.kv_heads, config_.head_dim, config_.rope_dim, cosines, sines);
    const std::size_t position = batch.rows[r].position;
    const std::span pages(page_table_.data() + page_table_start_[r], pages_count_[r]);
    // The cache hands out its pages for writing to the one Forward that fills them.
    auto* page = const_cast<std::byte*>(pages[position / page_tokens]);
    store_kv(place, page, position % page_tokens, k, v_.data() + r * kv_width);
    attention_rows_[r] = {q, attended_.data() + r * q_width, pages, position, 0};
  });
  attention(place, attention_rows_, pool_);

  activations_.assign(attended_.data(), rows_, q_width);
  multiply(weights.attention_output, h_.data());
  add(x_.data(), h_.data());
}

/// x += W_down (silu(W_gate norm(x)) · W_up norm(x))
void Forward::feed_forward(const LayerWeights& layer) {
  gate_.resize(rows_ * config_.ffn_width);
  up_.resize(rows_ * config_.ffn_width);
  norm(x_.data(), layer.ffn_norm, rows_, h_.data());
  activations_.assign(h_.data(), rows_, config_.width);
  multiply(layer.ffn_gate, gate_.data());
  multiply(layer.ffn_up, up_.data());
  pool_.parallel_for(rows_, [&](std::size_t r, unsigned) {
    silu_mul(gate_.data() + r * config_.ffn_width, up_.data() + r * config_.ffn_width, config_.ffn_width);
  });
  activations_.assign(gate_.data(), rows_, config_.ffn_width);
  multiply(layer.ffn_down, h_.data());
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
  norm(x_.data(), model_.weights.output_norm, wanted, h_.data());
  activations_.assign(h_.data(), wanted, config_.width);
  matmul(model_.weights.output_matrix(), activations_, logits.values.data(), logits.vocab, pool_);
}

void Forward::norm(const float* x, const AlignedBuffer<float>& weight, std::size_t rows, float* out) {
  pool_.parallel_for(rows, [&](std::size_t r, unsigned) {
    rms_norm(x + r * config_.width, weight.data(), config_.norm_eps, 1, config_.width,
             out + r * config_.width);
  });
}

void Forward::multiply(const Linear& linear, float* y) {
  const std::size_t width = linear.weight.rows();
  matmul(linear.weight, activations_, y, width, pool_);
  if (linear.bias.size() == 0) return;
  for (std::size_t r = 0; r < activations_.rows(); ++r)
    add_in_place(y + r * width, linear.bias.data(), width);
}

void Forward::add(float* x, const float* y) {
  pool_.parallel_for(rows_, [&](std::size_t r, unsigned) {
    add_in_place(x + r * config_.width, y + r * config_.width, config_.width);
  });
}

}  // namespace troupe
