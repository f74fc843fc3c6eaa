#include "simulation/toy_steps.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "actors/stop_rule.hpp"
#include "base/check.hpp"
#include "model/sampler.hpp"

namespace troupe::test {
namespace {

constexpr Token end_of_text = 2;

ModelConfig cache_shape() {
  ModelConfig config;
  config.layers = 1;
  config.heads = 1;
  config.kv_heads = 1;
  config.head_dim = 16;
  return config;
}

std::byte* place_of(const std::vector<std::byte*>& pages, std::size_t position) {
  return pages[position / page_tokens] + position % page_tokens * sizeof(Token);
}

void toy_logits(std::span<const Token> tokens, std::size_t habit, std::span<float> out) {
  std::uint64_t hash = 1469598103934665603U;
  for (const Token token : tokens) hash = (hash ^ static_cast<std::uint64_t>(token)) * 1099511628211U;
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::uint64_t z = hash + (i + 1) * 0x9E3779B97F4A7C15U;  // splitmix64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    out[i] = static_cast<float>(z >> 40) * (8.0F / (1U << 24));
  }
  if (habit != 0) out[3 + static_cast<std::size_t>(tokens.back() + 1) % habit] += 7;
  if (hash >> 32 & 1 && (hash >> 33) % 32 == 0) out[end_of_text] = 12;
  out[poison] = -std::numeric_limits<float>::infinity();
}

}  // namespace

SimStepper::SimStepper(std::shared_ptr<StepperWatch> watch, ReplicaIndex replica, std::size_t pages_max,
                       std::size_t vocab, std::size_t habit)
    : watch_(std::move(watch)),
      replica_(replica),
      vocab_(vocab),
      habit_(habit),
      cache_(cache_shape(), KvType::f32, pages_max) {
  watch_->alive.insert(this);
}

SimStepper::~SimStepper() {
  watch_->alive.erase(this);
}

bool SimStepper::open(SequenceId id, std::size_t promised) {
  if (!cache_.open(id, promised)) return false;
  promised_[id] = promised;
  return true;
}

void SimStepper::close(SequenceId id) {
  cache_.close(id);
  promised_.erase(id);
  remembered_.erase(id);
}

std::size_t SimStepper::reuse_prefix(SequenceId id, std::span<const Token> tokens) {
  const std::size_t length = cache_.reuse_prefix(id, tokens);
  if (length != 0) remembered_[id] = length;
  return length;
}

void SimStepper::remember(SequenceId id, std::span<const Token> tokens) {
  cache_.remember(id, tokens);
  std::size_t& known = remembered_[id];
  const std::vector<Token> text = stored(id);
  TROUPE_CHECK(known + tokens.size() <= text.size());
  TROUPE_CHECK(std::equal(tokens.begin(), tokens.end(), text.begin() + static_cast<std::ptrdiff_t>(known)));
  known += tokens.size();
  watch_->remembered(std::span(text).first(known));
}

std::shared_ptr<const LogitsBlock> SimStepper::run(const StepBatch& batch) {
  watch_->during(*this, batch);
  for (const StepRow& row : batch.rows) {
    if (row.token == poison) throw std::runtime_error("the step holds the poison token");
  }
  auto logits = std::make_shared<LogitsBlock>();
  logits->vocab = vocab_;
  logits->values.resize(batch.logits_rows() * vocab_);
  for (const StepRow& row : batch.rows) {
    TROUPE_CHECK(cache_.length(row.sequence) == row.position);
    cache_.append(row.sequence, 1);
    std::memcpy(place_of(cache_.pages(row.sequence), row.position), &row.token, sizeof row.token);
    if (!row.wants_logits) continue;
    toy_logits(stored(row.sequence), habit_, {logits->values.data() + logits->rows++ * vocab_, vocab_});
  }
  return logits;
}

std::vector<Token> SimStepper::stored(SequenceId id) const {
  std::vector<Token> tokens(cache_.length(id));
  for (std::size_t i = 0; i < tokens.size(); ++i)
    std::memcpy(&tokens[i], place_of(cache_.pages(id), i), sizeof tokens[i]);
  return tokens;
}

std::string SimStepper::audit() const {
  std::set<const std::byte*> held;
  std::size_t promised = 0;
  for (const auto& [id, positions] : promised_) {
    const auto& pages = cache_.pages(id);
    if (pages.size() != KvCache::pages_for(cache_.length(id))) {
      return "sequence " + std::to_string(id) + " holds " + std::to_string(pages.size()) + " pages for " +
             std::to_string(cache_.length(id)) + " positions";
    }
    held.insert(pages.begin(), pages.end());
    const std::size_t pages_promised = KvCache::pages_for(positions);
    promised += pages_promised - std::min(pages_promised, pages.size());
  }
  if (held.size() != cache_.pages_used()) {
    return "the cache counts " + std::to_string(cache_.pages_used()) + " pages in use, but the " +
           std::to_string(promised_.size()) + " open sequences hold " + std::to_string(held.size());
  }
  const std::size_t taken = held.size() + promised;
  if (taken + cache_.pages_available() != cache_.pages_max()) {
    return "of " + std::to_string(cache_.pages_max()) + " pages " + std::to_string(taken) +
           " are held or promised, but " + std::to_string(cache_.pages_available()) + " available";
  }
  return {};
}

SoloAnswer solo_answer(const Model& model, const Work& work, std::uint32_t context_tokens,
                       std::size_t habit) {
  SoloAnswer answer;
  Sampler sampler(work.options.sampling);
  StopRule rule(model.tokenizer(), work.options, context_tokens - work.prompt.size());
  sampler.see_prompt(work.prompt);
  if (const auto due = rule.due()) {
    answer.reason = *due;
    return answer;
  }
  std::vector<Token> tokens = work.prompt;
  std::vector<float> logits(model.info().vocab_size);
  for (;;) {
    toy_logits(tokens, habit, logits);
    const Token token = sampler.sample(logits, work.prompt.size() + rule.tokens()).value();
    const StopRule::Outcome outcome = rule.push(token);
    if (outcome.emit) {
      answer.tokens.push_back(token);
      answer.text += outcome.text;
      sampler.see_answer(token);
    }
    tokens.push_back(token);
    if (!outcome.end) continue;
    answer.text += outcome.tail;
    answer.reason = *outcome.end;
    return answer;
  }
}

}  // namespace troupe::test
