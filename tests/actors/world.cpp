#include "actors/world.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <stdexcept>

#include "base/check.hpp"
#include "base/log.hpp"
#include "base/random.hpp"
#include "model/kv_cache.hpp"
#include "support/catch.hpp"

namespace troupe::test {

using namespace std::chrono_literals;

bool ToyStepper::open(SequenceId id, std::size_t /*promised*/) {
  ledger_->open[id];
  return true;
}

void ToyStepper::close(SequenceId id) {
  ledger_->open.erase(id);
}

void ToyStepper::truncate(SequenceId id, std::size_t length) {
  auto& tokens = ledger_->open.at(id);
  TROUPE_CHECK(length <= tokens.size());
  tokens.resize(length);
}

std::size_t ToyStepper::pages_used() const {
  std::size_t pages = 0;
  for (const auto& [id, tokens] : ledger_->open) pages += KvCache::pages_for(tokens.size());
  return pages;
}

std::size_t ToyStepper::reuse_prefix(SequenceId id, std::span<const Token> tokens) {
  const std::span<const Token> known = tokens.first(std::min(ledger_->known, tokens.size() - 1));
  ledger_->open.at(id).assign(known.begin(), known.end());
  return known.size();
}

std::size_t ToyStepper::pages_missing(SequenceId id, std::size_t tokens) const {
  return KvCache::pages_for(length(id) + tokens) - KvCache::pages_for(length(id));
}

std::size_t ToyStepper::pages_available() const {
  return ledger_->pages_max - pages_used();
}

std::shared_ptr<const LogitsBlock> ToyStepper::run(const StepBatch& batch) {
  ++ledger_->steps;
  ledger_->rows_max = std::max(ledger_->rows_max, batch.rows.size());
  std::set<SequenceId> sequences;
  for (const StepRow& row : batch.rows) sequences.insert(row.sequence);
  ledger_->step_sequences.push_back(sequences.size());
  if (ledger_->during) ledger_->during(batch);
  if (ledger_->fails && ledger_->fails(batch)) throw std::runtime_error("the toy step was told to fail");

  auto logits = std::make_shared<LogitsBlock>();
  logits->vocab = vocab_;
  logits->values.resize(batch.logits_rows() * vocab_);
  if (ledger_->steppers != number_) {  // another one has taken over meanwhile: these go nowhere
    logits->rows = batch.logits_rows();
    return logits;
  }
  for (const StepRow& row : batch.rows) {
    auto& tokens = ledger_->open.at(row.sequence);
    TROUPE_CHECK(tokens.size() == row.position);
    tokens.push_back(row.token);
    if (!row.wants_logits) continue;
    std::uint64_t hash = 1469598103934665603U;
    for (const Token token : tokens) hash = (hash ^ static_cast<std::uint64_t>(token)) * 1099511628211U;
    float* out = logits->values.data() + logits->rows++ * vocab_;
    for (std::size_t i = 0; i < vocab_; ++i) out[i] = static_cast<float>(8 * uniform_at(hash, i));
    if (ledger_->habit != 0) out[3 + static_cast<std::size_t>(row.token + 1) % ledger_->habit] += 8;
    // Ends of text come, but seldom.
    out[1] = out[2] = 3;
  }
  TROUPE_CHECK(pages_used() <= ledger_->pages_max);
  return logits;
}

namespace {

class TestingConfig : public caf::actor_system_config {
 public:
  TestingConfig() { set("scheduler.policy", caf::atom("testing")); }
};

StreamReader::behavior_type recorder(std::map<StreamTag, Record>* records) {
  return {
      [records](const StreamToken& m) {
        Record& record = (*records)[m.tag];
        if (m.event.token != no_token) {
          TROUPE_CHECK(m.event.index == record.tokens.size());
          record.tokens.push_back(m.event.token);
        }
        TROUPE_CHECK(record.ends == 0);
        record.text += m.event.text;
      },
      [records](const StreamEnd& m) {
        Record& record = (*records)[m.tag];
        ++record.ends;
        record.reason = m.reason;
        record.usage = m.usage;
        record.timings = m.timings;
        TROUPE_CHECK(m.usage.completion_tokens == record.tokens.size());
      },
      [records](const StreamError& m) {
        Record& record = (*records)[m.tag];
        ++record.ends;
        record.error = m.error;
      },
  };
}

}  // namespace

struct World::System {
  TestingConfig config;
  caf::actor_system actors{config};
  caf::scheduler::test_coordinator& scheduler =
      static_cast<caf::scheduler::test_coordinator&>(actors.scheduler());

  /// The test scheduler lets an actor that sends to itself go on before others; the threads of a real one do
  /// not. So what comes from outside is given its turn at once.
  template <class Actor>
  void take_turn(const Actor& actor) {
    if (scheduler.prioritize(actor)) scheduler.run_once();
  }
};

EngineOptions patient() {
  EngineOptions options;
  options.reader_stall_ms_max = 0;
  options.step_stall_ms_max = 0;
  return options;
}

EngineOptions pool_of(std::uint32_t pool_max) {
  EngineOptions options = patient();
  options.pool_max = pool_max;
  return options;
}

EngineOptions roomy(EngineOptions options) {
  options.queue_requests_max = 20'000;
  options.queue_tokens_max = 100'000'000;
  return options;
}

World::World(EngineOptions options, std::size_t kv_pages_max)
    : model(toy_model()),
      counters(std::make_shared<Counters>(options.replicas)),
      batcher_of(options.replicas),
      system_(std::make_unique<System>()) {
  for (std::uint32_t i = 0; i < options.replicas; ++i) ledgers.push_back(std::make_shared<Ledger>());
  ledger = ledgers.front();
  set_log_level(LogLevel::off);  // the faults are on purpose
  if (options.context_tokens == 0) options.context_tokens = 512;
  sink_ = system_->actors.spawn([this](StreamReader::pointer) { return recorder(&records); });
  for (const auto& each : ledgers) each->pages_max = kv_pages_max;
  BatcherConfig batcher_config;
  batcher_config.counters = counters;
  batcher_config.step_tokens_max = options.step_tokens_max;
  batcher_config.straggler_wait_us = options.straggler_wait_us;
  batcher_config.detached = false;
  RouterConfig router_config;
  router_config.model = model;
  router_config.counters = counters;
  router_config.options = options;
  router_config.kv_pages_max = kv_pages_max;
  router_config.make_generator = [this, options] {
    generators.push_back(
        spawn_generator(system_->actors, {model, options.context_tokens, options.draft_tokens_max}));
    return generators.back();
  };
  router_config.make_batcher = [this, batcher_config](ReplicaIndex replica,
                                                      std::shared_ptr<StepLease> lease) {
    BatcherConfig fresh = batcher_config;
    fresh.replica = replica;
    fresh.lease = std::move(lease);
    fresh.make_stepper = [ledger = ledgers[replica], vocab = model->info().vocab_size] {
      return std::make_unique<ToyStepper>(ledger, vocab);
    };
    batchers.push_back(spawn_batcher(system_->actors, fresh));
    return batcher_of[replica] = batchers.back();
  };
  router_ = spawn_router(system_->actors, router_config);
  run();
}

World::~World() {
  drain(0);
  caf::anon_send_exit(sink_, caf::exit_reason::user_shutdown);
  run();
  generators.clear();
  batchers.clear();
  batcher_of.clear();
  router_ = nullptr;
  sink_ = nullptr;
  settle();
}

Submission World::request(std::size_t prompt_tokens, std::uint32_t max_tokens, std::uint64_t seed) {
  auto work = std::make_shared<Work>();
  for (std::size_t i = 0; i < prompt_tokens; ++i) {
    work->prompt.push_back(static_cast<Token>((seed * 7 + i * i + 3 * i) % 280 + 3));
  }
  work->options.max_tokens = max_tokens;
  work->options.sampling.seed = seed;
  Submission submission;
  submission.work = std::move(work);
  return submission;
}

Admission World::submit(Submission submission) {
  submission.sink = sink_;
  submission.tag = next_tag_++;
  Admission admission;
  caf::scoped_actor self(system_->actors);
  self->send(router_, std::move(submission));
  system_->scheduler.prioritize(router_);
  system_->scheduler.run_once();
  self->receive([&](const Admission& a) { admission = a; });
  return admission;
}

void World::run_steps(std::uint64_t n) {
  const std::uint64_t until = ledger->steps + n;
  while (ledger->steps < until && run_once()) {
  }
}

void World::advance(std::chrono::milliseconds d) {
  system_->scheduler.advance_time(d);
  run();
}

void World::settle() {
  run();
  while (system_->scheduler.has_pending_timeout()) advance(10ms);
}

void World::wake_router() {
  while (system_->scheduler.prioritize(router_)) system_->scheduler.run_once();
}

void World::cancel(RequestId id) {
  caf::anon_send<caf::message_priority::high>(router_, Cancel{id});
  system_->take_turn(router_);
}

void World::kill(const GeneratorActor& generator) {
  caf::anon_send_exit(generator, caf::exit_reason::kill);
  system_->take_turn(generator);
  system_->take_turn(router_);
}

void World::kill(const BatcherActor& batcher) {
  caf::anon_send_exit(batcher, caf::exit_reason::kill);
  system_->take_turn(batcher);
  system_->take_turn(router_);
}

void World::kill_router() {
  caf::anon_send_exit(router_, caf::exit_reason::kill);
  system_->take_turn(router_);
}

bool World::run_once() {
  return system_->scheduler.try_run_once();
}

void World::run() {
  system_->scheduler.run();
}

void World::pass(std::chrono::milliseconds d) {
  system_->scheduler.advance_time(d);
}

std::size_t World::actors_alive() const {
  return system_->actors.registry().running();
}

TimePoint World::now() {
  return system_->scheduler.clock().now();
}

void World::consumed(RequestId id, std::uint32_t tokens) {
  caf::anon_send(router_, Consumed{id, tokens});
}

bool World::drain(std::uint32_t drain_ms) {
  if (!router_) return true;
  bool answered = false;
  caf::scoped_actor self(system_->actors);
  self->send(router_, Drain{drain_ms});
  run();
  for (std::uint32_t ms = 0; ms <= drain_ms + 20 && !self->has_next_message(); ms += 10) advance(10ms);
  if (self->has_next_message()) self->receive([&](Drained) { answered = true; });
  return answered;
}

std::map<StreamTag, Record> undisturbed(std::size_t count, std::uint32_t max_tokens) {
  World world(roomy(pool_of(8)));
  for (std::uint64_t i = 0; i < count; ++i)
    REQUIRE_FALSE(world.submit(World::request(3 + i % 40, max_tokens, i)).refusal);
  world.settle();
  return world.records;
}

void check_same_answers(const std::map<StreamTag, Record>& got, const std::map<StreamTag, Record>& want) {
  REQUIRE(got.size() == want.size());
  for (const auto& [tag, record] : want) {
    INFO("stream " << tag);
    CHECK(got.at(tag).ends == 1);
    CHECK(got.at(tag).tokens == record.tokens);
    CHECK(got.at(tag).text == record.text);
    CHECK(got.at(tag).reason == record.reason);
  }
}

}  // namespace troupe::test
