// Several batchers with threads of their own over one real model: the same bits as one.

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/send.hpp>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>

#include "engine/company.hpp"
#include "engine/company_load.hpp"
#include "support/stepper_shell.hpp"
#include "support/toy_engine.hpp"

using namespace troupe;

namespace {

/// The logits behind texts, whoever computed them: each text's must be the same each time. Thread-safe.
class Logits {
 public:
  void add(const std::vector<Token>& text, std::span<const float> row) {
    const std::lock_guard lock(mutex_);
    const auto [known, fresh] = rows_.try_emplace(text, row.begin(), row.end());
    if (fresh) return;
    const bool same = std::memcmp(row.data(), known->second.data(), row.size_bytes()) == 0;
    ++(same ? same_ : different_);
  }
  std::size_t texts() const { return rows_.size(); }
  std::size_t same() const { return same_; }
  std::size_t different() const { return different_; }

 private:
  std::mutex mutex_;
  std::map<std::vector<Token>, std::vector<float>> rows_;
  std::size_t same_ = 0;
  std::size_t different_ = 0;
};

class Witness final : public test::StepperShell {
 public:
  /// `after_step`: called behind each step, on its batcher's thread.
  Witness(std::unique_ptr<Stepper> real, std::shared_ptr<Logits> logits, std::function<void()> after_step)
      : StepperShell(std::move(real)), logits_(std::move(logits)), after_step_(std::move(after_step)) {}

  void close(SequenceId id) override {
    texts_.erase(id);
    StepperShell::close(id);
  }
  std::size_t reuse_prefix(SequenceId id, std::span<const Token> tokens) override {
    const std::size_t reused = StepperShell::reuse_prefix(id, tokens);
    texts_[id].assign(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(reused));
    return reused;
  }
  std::shared_ptr<const LogitsBlock> run(const StepBatch& batch) override {
    auto block = StepperShell::run(batch);
    std::size_t rows = 0;
    for (const StepRow& row : batch.rows) {
      texts_[row.sequence].push_back(row.token);
      if (row.wants_logits) logits_->add(texts_[row.sequence], block->row(rows++));
    }
    after_step_();
    return block;
  }

 private:
  std::shared_ptr<Logits> logits_;
  std::function<void()> after_step_;
  std::map<SequenceId, std::vector<Token>> texts_;
};

std::shared_ptr<const Work> work_of(std::size_t i) {
  auto work = std::make_shared<Work>();
  for (std::size_t t = 0; t < 3 + 5 * i; ++t)
    work->prompt.push_back(static_cast<Token>(3 + (i % 3 * 31 + t * t) % 200));
  work->options.max_tokens = 40;
  work->options.ignore_eos = true;
  work->options.sampling.seed = i;
  return work;
}

struct Run {
  std::vector<std::vector<Token>> answers;
  EngineStats stats;
};

/// The answers of a company with so many replicas, of whose batchers `kills` are killed meanwhile.
Run run(std::uint32_t replicas, std::size_t kills, const std::shared_ptr<Logits>& logits) {
  EngineOptions options;
  options.threads = 2;
  options.replicas = replicas;
  options.draft_tokens_max = 0;  // so that a text only grows, and each row is asked for once
  options.replays_max = 1000;
  options.restarts_max = 1000;
  test::ToyShape shape;
  shape.type = TensorType::q8_0;
  auto company = make_company(test::toy_model(shape), options);
  REQUIRE(company);
  const auto config = test::sharing_config();
  caf::actor_system system(*config);
  std::mutex mutex;  // of what follows
  std::vector<BatcherActor> batchers(replicas);
  std::size_t steps = 0, killed = 0;
  // By steps and not by a thread beside them, which might come when all is over.
  const auto kill_now_and_then = [&] {
    const std::lock_guard lock(mutex);
    if (++steps % 6 != 0 || killed == kills) return;
    caf::anon_send_exit(batchers[killed++ % replicas], caf::exit_reason::kill);
  };
  const auto witness = [&](std::unique_ptr<Stepper> real) {
    return std::make_unique<Witness>(std::move(real), logits, kill_now_and_then);
  };
  company->make_stepper = [real = company->make_stepper, witness](ReplicaIndex replica) {
    return witness(real(replica));
  };
  for (auto& first : *company->first_steppers) first = witness(std::move(first));

  Run run;
  {
    RouterConfig router_config = troupe::router_config(system, *company, false);
    router_config.make_batcher = [&, make = router_config.make_batcher](ReplicaIndex replica,
                                                                        std::shared_ptr<StepLease> lease) {
      const std::lock_guard lock(mutex);
      return batchers[replica] = make(replica, std::move(lease));
    };
    std::vector<std::shared_ptr<const Work>> works;
    for (std::size_t i = 0; i < 24; ++i) works.push_back(work_of(i));
    run.answers = test::answers_of(system, spawn_router(system, router_config), works);
  }
  {
    const std::lock_guard lock(mutex);
    batchers.assign(replicas, BatcherActor());
  }
  CHECK(await_end(system, *company->counters, 60'000));
  run.stats = company->counters->stats();
  return run;
}

}  // namespace

TEST_CASE(
    "logits and answers are the same bits from one replica and from two, also while batchers are killed",
    "[engine]") {
  const auto logits = std::make_shared<Logits>();
  const Run one = run(1, 0, logits);
  REQUIRE(logits->texts() == 24 * 40);
  const Run two = run(2, 0, logits);
  CHECK(two.answers == one.answers);
  CHECK(logits->same() == 24 * 40);
  const Run killed = run(2, 8, logits);
  CHECK(killed.answers == one.answers);
  CHECK(killed.stats.restarts >= 4);
  CHECK(killed.stats.replays >= 4);
  CHECK(killed.stats.kv_pages_used == 0);
  CHECK(logits->same() >= 2 * 24 * 40);
  CHECK(logits->different() == 0);
}
