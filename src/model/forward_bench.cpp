#include "model/forward_bench.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/random.hpp"
#include "model/forward.hpp"
#include "model/kv_cache.hpp"

namespace troupe {

StepCost step_cost(const Model& model) {
  const Weights& weights = model.parts().weights;
  StepCost cost;
  for (const LayerWeights& layer : weights.layers) {
    for (const Linear* linear : {&layer.query, &layer.key, &layer.value, &layer.attention_output,
                                 &layer.ffn_gate, &layer.ffn_up, &layer.ffn_down}) {
      cost.layer_bytes += linear->weight.bytes();
      cost.layer_macs += std::uint64_t{linear->weight.rows()} * linear->weight.cols();
    }
  }
  const PackedMatrix& output = weights.output_matrix();
  cost.output_bytes = output.bytes();
  cost.output_macs = std::uint64_t{output.rows()} * output.cols();
  return cost;
}

struct ForwardBench::State {
  State(const Model& m, unsigned threads, KvType type, std::function<bool()> s)
      : model(m), kv_type(type), stop(std::move(s)), pool(threads) {}

  /// Random, but the same in every run.
  Token token(std::uint64_t position) const {
    return static_cast<Token>(uniform_at(1, position) * model.info().vocab_size);
  }

  /// `count` more rows of `sequence`.
  void append(StepBatch& batch, SequenceId sequence, std::size_t position, std::size_t count,
              bool last_wants_logits) const {
    for (std::size_t i = 0; i < count; ++i) {
      batch.rows.push_back({sequence, static_cast<std::uint32_t>(position + i),
                            token(sequence * 1'000'003 + position + i), last_wants_logits && i + 1 == count});
    }
  }

  const Model& model;
  KvType kv_type;
  std::function<bool()> stop;
  ThreadPool pool;
  LogitsBlock logits;
};

ForwardBench::ForwardBench(const Model& model, unsigned threads, KvType kv_type, std::function<bool()> stop)
    : state_(std::make_unique<State>(model, threads, kv_type, std::move(stop))) {}
ForwardBench::~ForwardBench() = default;

ThreadPool& ForwardBench::pool() noexcept {
  return state_->pool;
}

namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

std::optional<double> ForwardBench::prefill(std::size_t tokens, std::size_t step_tokens) {
  KvCache cache(state_->model.parts().config, state_->kv_type, KvCache::pages_for(tokens));
  cache.open(1, tokens);
  Forward forward(state_->model.parts(), cache, state_->pool, tokens);
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t position = 0; position < tokens; position += step_tokens) {
    if (state_->stop()) return std::nullopt;
    const std::size_t count = std::min(step_tokens, tokens - position);
    StepBatch batch;
    state_->append(batch, 1, position, count, position + count == tokens);
    forward.run(batch, state_->logits);
  }
  return seconds_since(begin);
}

std::optional<double> ForwardBench::decode(std::size_t tokens, std::size_t batch, std::size_t prompt_tokens) {
  const std::size_t positions = prompt_tokens + tokens;
  KvCache cache(state_->model.parts().config, state_->kv_type, batch * KvCache::pages_for(positions));
  Forward forward(state_->model.parts(), cache, state_->pool, positions);
  for (SequenceId sequence = 1; sequence <= batch; ++sequence) {
    cache.open(sequence, positions);
    if (prompt_tokens == 0) continue;
    if (state_->stop()) return std::nullopt;
    StepBatch prompt;
    state_->append(prompt, sequence, 0, prompt_tokens, false);
    forward.run(prompt, state_->logits);
  }
  const auto begin = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < tokens; ++i) {
    if (state_->stop()) return std::nullopt;
    StepBatch step;
    for (SequenceId sequence = 1; sequence <= batch; ++sequence)
      state_->append(step, sequence, prompt_tokens + i, 1, true);
    forward.run(step, state_->logits);
  }
  return seconds_since(begin);
}

}  // namespace troupe
