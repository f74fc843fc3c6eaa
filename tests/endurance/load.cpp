#include "endurance/load.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "actors/counters.hpp"
#include "endurance/violation.hpp"
#include "engine/company.hpp"

namespace troupe::test {
namespace {

using namespace std::chrono_literals;

/// Longer than anything here takes, even where the process is stopped for a while.
constexpr auto silence_max = 300s;

class SharingConfig : public caf::actor_system_config {
 public:
  SharingConfig() {
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::size_t{2});
    set("scheduler.max-throughput", std::size_t{16});
  }
};

/// The actors that a router has spawned and nobody has killed.
template <class Actor>
class Handles {
 public:
  void add(const Actor& actor) {
    const std::lock_guard lock(mutex_);
    actors_.push_back(actor);
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return actors_.size();
  }
  Actor take(std::size_t i) {
    const std::lock_guard lock(mutex_);
    const auto at = actors_.begin() + static_cast<std::ptrdiff_t>(i);
    Actor taken = *at;
    actors_.erase(at);
    return taken;
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    actors_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Actor> actors_;
};

template <class Actor, class... Arguments>
std::function<Actor(Arguments...)> noted(std::function<Actor(Arguments...)> make, Handles<Actor>& handles) {
  return [make = std::move(make), &handles](Arguments... arguments) {
    Actor made = make(std::move(arguments)...);
    handles.add(made);
    return made;
  };
}

Company start(std::shared_ptr<const Model> model, const EngineOptions& options,
              const std::shared_ptr<StepBook>& book) {
  auto company = make_company(std::move(model), options);
  if (!company) violation(company.error().message);
  for (auto& first : *company->first_steppers) first = watched(std::move(first), book);
  company->make_stepper = [make = company->make_stepper, book](ReplicaIndex replica) {
    return watched(make(replica), book);
  };
  return *std::move(company);
}

std::shared_ptr<const Work> work_of(std::uint64_t number) {
  Draws draws(number, 11);
  auto work = std::make_shared<Work>();
  work->prompt = spell_number(number);
  for (std::uint64_t n = draws.between(1, 70); n > 0; --n)
    work->prompt.push_back(static_cast<Token>(draws.between(3, 280)));
  work->options.max_tokens = static_cast<std::uint32_t>(draws.between(1, 100));
  work->options.ignore_eos = draws.chance(0.5);
  work->options.sampling.seed = number;
  if (draws.chance(0.2)) work->options.sampling.temperature = 0;
  if (draws.chance(0.2)) work->options.sampling.repeat_penalty = 1.3F;
  return work;
}

}  // namespace

struct Load::State {
  State(std::shared_ptr<const Model> model, const EngineOptions& options,
        const std::shared_ptr<StepBook>& book)
      : company(start(std::move(model), options, book)) {
    RouterConfig fresh = router_config(system, company, false);
    fresh.make_generator = noted(std::move(fresh.make_generator), generators);
    fresh.make_batcher = noted(std::move(fresh.make_batcher), batchers);
    router = spawn_router(system, fresh);
  }

  Answer& open(std::uint64_t number, const std::string& what) {
    const auto found = answers.find(number);
    if (found == answers.end()) violation(what + " of a stream that nobody asked for");
    if (found->second.ended()) violation(what + " behind the end of request " + std::to_string(number));
    return found->second;
  }

  std::uint64_t admitted(const Admission& admission);
  std::uint64_t token(const StreamToken& m);
  std::uint64_t end(const StreamEnd& m);

  Company company;
  SharingConfig config;
  caf::actor_system system{config};
  caf::scoped_actor self{system};
  Handles<GeneratorActor> generators;
  Handles<BatcherActor> batchers;
  RouterActor router;

  std::deque<std::uint64_t> asked;         // without an answer, in order
  std::map<std::uint64_t, RequestId> ids;  // of those that run or wait
  std::map<std::uint64_t, Answer> answers;
};

Load::Load(std::shared_ptr<const Model> model, const EngineOptions& options, std::shared_ptr<StepBook> book) {
  book->begin_run();
  state_ = std::make_unique<State>(std::move(model), options, book);
}

Load::~Load() {
  bool drained = false;
  state_->self->request(state_->router, silence_max, Drain{0})
      .receive([&](Drained) { drained = true; }, [](const caf::error&) {});
  if (!drained) violation("the router does not end");
  state_->generators.clear();
  state_->batchers.clear();
  state_->router = nullptr;
  // The client is one of those that run.
  const auto until = std::chrono::steady_clock::now() + silence_max;
  while (state_->system.registry().running() > 1) {
    if (std::chrono::steady_clock::now() > until) violation("actors outlive their router");
    std::this_thread::sleep_for(1ms);
  }
}

void Load::submit(std::uint64_t number) {
  Submission submission;
  submission.work = work_of(number);
  submission.sink = caf::actor_cast<StreamReader>(state_->self);
  submission.tag = number;
  state_->asked.push_back(number);
  state_->self->send(state_->router, std::move(submission));
}

std::uint64_t Load::State::admitted(const Admission& admission) {
  const std::uint64_t number = asked.front();
  asked.pop_front();
  if (admission.refusal) violation("refused: " + admission.refusal->message);
  ids[number] = admission.request;
  answers[number];
  return number;
}

std::uint64_t Load::State::token(const StreamToken& m) {
  Answer& answer = open(m.tag, "a token");
  answer.text += m.event.text;
  if (m.event.token == no_token) return m.tag;
  if (m.event.index != answer.tokens.size())
    violation("request " + std::to_string(m.tag) + " got token " + std::to_string(m.event.index) +
              " when it had " + std::to_string(answer.tokens.size()));
  answer.tokens.push_back(m.event.token);
  return m.tag;
}

std::uint64_t Load::State::end(const StreamEnd& m) {
  Answer& answer = open(m.tag, "an end");
  if (m.usage.completion_tokens != answer.tokens.size())
    violation("request " + std::to_string(m.tag) + " lost tokens on the way");
  answer.reason = m.reason;
  ids.erase(m.tag);
  return m.tag;
}

std::uint64_t Load::next() {
  std::uint64_t number = 0;
  state_->self->receive([&](const Admission& m) { number = state_->admitted(m); },
                        [&](const StreamToken& m) { number = state_->token(m); },
                        [&](const StreamEnd& m) { number = state_->end(m); },
                        [&](const StreamError& m) {
                          violation("request " + std::to_string(m.tag) + " failed: " + m.error.message);
                        },
                        caf::after(silence_max) >> [] { violation("nothing happens any more"); });
  return number;
}

std::size_t Load::outstanding() const {
  return state_->asked.size() + state_->ids.size();
}

std::size_t Load::backlog() const {
  return state_->self->mailbox().count();
}

const std::map<std::uint64_t, Answer>& Load::answers() const {
  return state_->answers;
}

void Load::cancel(std::uint64_t number) {
  const auto id = state_->ids.find(number);
  if (id != state_->ids.end())
    caf::anon_send<caf::message_priority::high>(state_->router, Cancel{id->second});
}

bool Load::kill_generator(Draws& draws) {
  const std::size_t count = state_->generators.size();
  if (count == 0) return false;
  caf::anon_send_exit(state_->generators.take(draws.between(0, count - 1)), caf::exit_reason::kill);
  return true;
}

bool Load::kill_batcher() {
  if (state_->batchers.size() == 0) return false;
  caf::anon_send_exit(state_->batchers.take(0), caf::exit_reason::kill);
  return true;
}

void Load::check_gauges() {
  const Counters& counters = *state_->company.counters;
  const auto until = std::chrono::steady_clock::now() + silence_max;
  const auto all_zero = [&] {
    return counters.requests_running == 0 && counters.requests_queued == 0 && counters.kv_pages_used == 0;
  };
  while (!all_zero()) {
    if (std::chrono::steady_clock::now() > until)
      violation("after all streams " + std::to_string(counters.requests_running) + " requests run, " +
                std::to_string(counters.requests_queued) + " wait, and " +
                std::to_string(counters.kv_pages_used) + " KV pages are held");
    std::this_thread::sleep_for(1ms);
  }
  const EngineStats stats = counters.stats();
  if (stats.requests_finished + stats.requests_cancelled != state_->answers.size() ||
      stats.requests_admitted != state_->answers.size())
    violation("the counters tell of " + std::to_string(stats.requests_admitted) + " requests and " +
              std::to_string(stats.requests_finished + stats.requests_cancelled) + " ends, but there were " +
              std::to_string(state_->answers.size()));
}

std::uint64_t Load::restarts() const {
  return state_->company.counters->restarts;
}

std::uint64_t Load::replays() const {
  return state_->company.counters->replays;
}

std::map<std::uint64_t, Answer> undisturbed(const std::shared_ptr<const Model>& model,
                                            const std::shared_ptr<StepBook>& book,
                                            const std::vector<std::uint64_t>& numbers) {
  Load load(model, {}, book);
  std::size_t next = 0;
  while (next < numbers.size() || load.outstanding() != 0) {
    while (next < numbers.size() && load.outstanding() < 24) load.submit(numbers[next++]);
    load.next();
  }
  load.check_gauges();
  return load.answers();
}

}  // namespace troupe::test
