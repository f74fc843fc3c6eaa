#include "actors/stepper.hpp"

#include <mutex>
#include <utility>
#include <vector>

namespace troupe {

std::size_t Stepper::affordable(SequenceId id, std::size_t tokens, std::size_t more,
                                std::size_t& pages) const {
  const std::size_t theirs = pages_missing(id, tokens);
  while (pages_missing(id, tokens + more) - theirs > pages) --more;
  pages -= pages_missing(id, tokens + more) - theirs;
  return more;
}

namespace {

/// Hands out logits blocks and takes them back when their last reader lets go, on whatever thread that is: a
/// fresh block of a large vocabulary would cost a page fault for every 4 KiB.
class LogitsPool : public std::enable_shared_from_this<LogitsPool> {
 public:
  LogitsPool() { free_.reserve(free_max); }  // so that giving back cannot fail

  std::shared_ptr<LogitsBlock> take() {
    std::unique_ptr<LogitsBlock> block;
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        block = std::move(free_.back());
        free_.pop_back();
      }
    }
    if (!block) block = std::make_unique<LogitsBlock>();
    return {block.release(), [pool = shared_from_this()](LogitsBlock* used) { pool->give_back(used); }};
  }

 private:
  void give_back(LogitsBlock* used) {
    std::unique_ptr<LogitsBlock> block(used);
    const std::lock_guard lock(mutex_);
    if (free_.size() < free_max) free_.push_back(std::move(block));
  }

  // A step and the one before it: more are only alive while a generator lags.
  static constexpr std::size_t free_max = 4;
  std::mutex mutex_;
  std::vector<std::unique_ptr<LogitsBlock>> free_;
};

class ModelStepper final : public Stepper {
 public:
  ModelStepper(std::shared_ptr<const Model> model, KvType kv_type, std::size_t pages_max,
               std::size_t context_tokens, unsigned threads)
      : model_(std::move(model)),
        pool_(threads),
        cache_(model_->parts().config, kv_type, pages_max),
        forward_(model_->parts(), cache_, pool_, context_tokens) {}

  bool open(SequenceId id, std::size_t promised) override { return cache_.open(id, promised); }
  void close(SequenceId id) override { cache_.close(id); }
  std::size_t length(SequenceId id) const override { return cache_.length(id); }
  void truncate(SequenceId id, std::size_t length) override { cache_.truncate(id, length); }
  std::size_t reuse_prefix(SequenceId id, std::span<const Token> tokens) override {
    return cache_.reuse_prefix(id, tokens);
  }
  void remember(SequenceId id, std::span<const Token> tokens) override { cache_.remember(id, tokens); }
  std::size_t pages_used() const override { return cache_.pages_used(); }
  std::size_t pages_missing(SequenceId id, std::size_t tokens) const override {
    return cache_.pages_missing(id, tokens);
  }
  std::size_t pages_available() const override { return cache_.pages_available(); }

  bool aside(std::function<void()> job) override { return pool_.aside(std::move(job)); }

  std::shared_ptr<const LogitsBlock> run(const StepBatch& batch) override {
    auto logits = logits_->take();
    forward_.run(batch, *logits);
    return logits;
  }

 private:
  std::shared_ptr<const Model> model_;
  ThreadPool pool_;
  KvCache cache_;
  Forward forward_;
  std::shared_ptr<LogitsPool> logits_ = std::make_shared<LogitsPool>();
};

}  // namespace

std::unique_ptr<Stepper> make_model_stepper(std::shared_ptr<const Model> model, KvType kv_type,
                                            std::size_t pages_max, std::size_t context_tokens,
                                            unsigned threads) {
  return std::make_unique<ModelStepper>(std::move(model), kv_type, pages_max, context_tokens, threads);
}

}  // namespace troupe
