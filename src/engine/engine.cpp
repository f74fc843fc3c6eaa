#include "troupe/engine.hpp"

#include <algorithm>
#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <mutex>

#include "actors/encode.hpp"
#include "actors/event_sink.hpp"
#include "actors/gate.hpp"
#include "actors/own_thread.hpp"
#include "base/guard.hpp"
#include "base/log.hpp"
#include "base/try.hpp"
#include "engine/batch_run.hpp"
#include "engine/company.hpp"
#include "engine/listeners.hpp"
#include "engine/polled_channel.hpp"
#include "engine/reader_credit.hpp"

namespace troupe {
namespace {

/// Reads and checks by CAF of files and arguments are for programs that own their process: none here.
class SystemConfig : public caf::actor_system_config {
 public:
  explicit SystemConfig(const EngineOptions& options) {
    // Work sharing sleeps when idle; CAF's default, work stealing, polls.
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", workers(options));
    // So that no actor keeps a worker while others wait.
    set("scheduler.max-throughput", std::size_t{16});
  }

  /// Of the system and its detached actors: workers, a clock, what prints, the encoder, the batchers.
  static std::size_t threads(const EngineOptions& options) { return workers(options) + 3 + options.replicas; }

 private:
  static std::size_t workers(const EngineOptions& options) { return std::max(2U, options.threads); }
};

/// An actor system cannot end before its actors, so one with an actor that hangs is kept until the process
/// ends.
void keep_for_good(std::shared_ptr<void> engine) {
  static std::mutex mutex;
  // Never destroyed, and found by leak checkers.
  static auto* const kept = new std::vector<std::shared_ptr<void>>();
  const std::lock_guard lock(mutex);
  kept->push_back(std::move(engine));
}

/// The moment `wait` from now; nullopt, for ever, when the clock does not reach that far.
std::optional<TimePoint> after(std::chrono::milliseconds wait) {
  const TimePoint now = std::chrono::steady_clock::now();
  using Seconds = std::chrono::duration<double>;  // the integer types would overflow in the comparison
  if (Seconds(wait) >= Seconds(TimePoint::max() - now)) return std::nullopt;
  return now + wait;
}

}  // namespace

/// Everything that runs. Shared by the Engine and, weakly, by its Streams, which may outlive it.
struct Engine::Impl final : StreamHost {
  explicit Impl(Company of)
      : company(std::move(of)),
        model(company.model),
        options(company.resolved.options),
        gate(company.gate),
        config(options),
        system(config),
        sink(spawn_event_sink(system)),
        router(spawn_company(system, company, false)) {
    caf::anon_send(sink, router);
  }

  ~Impl() override { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  /// Sends a request to the router. Refused: the listener hears nothing more, and whoever called claims its
  /// answer.
  Result<RequestId> submit(const GenerationRequest& request, std::shared_ptr<const Work> work,
                           std::uint32_t window_tokens, const std::shared_ptr<StreamListener>& listener) {
    return guarded("submitting a request", [&]() -> Result<RequestId> {
      if (auto full = gate->queue_full()) return *std::move(full);
      Submission submission = submission_of(request, window_tokens);
      submission.work = std::move(work);
      submission.sink = sink;
      submission.tag = next_tag.fetch_add(1, std::memory_order_relaxed);
      const StreamTag tag = submission.tag;
      caf::anon_send(sink, Attach{tag, listener});

      Admission admission;
      caf::scoped_actor self(system);
      self->request(router, caf::infinite, std::move(submission))
          .receive([&](Admission& a) { admission = std::move(a); },
                   [&](caf::error&) { admission.refusal = engine_stopped(); });
      if (!admission.refusal) return admission.request;
      caf::anon_send(sink, Detach{tag});
      return *std::move(admission.refusal);
    });
  }

  Result<RequestId> submit(const GenerationRequest& request, std::uint32_t window_tokens,
                           const std::shared_ptr<StreamListener>& listener) {
    TROUPE_TRY(auto work, encoded(request));
    return submit(request, std::move(work), window_tokens, listener);
  }

  Result<std::shared_ptr<const Work>> encoded(const GenerationRequest& request) {
    return guarded("encoding a prompt", [&]() -> Result<std::shared_ptr<const Work>> {
      TROUPE_TRY(const auto place, gate->enter());
      auto work = make_work(request, *model);
      return work ? std::move(work) : gate->refused(work.error());
    });
  }

  void begin(const GenerationRequest& request, std::uint32_t window_tokens,
             std::shared_ptr<StreamListener> listener) override {
    Submit submit;  // outlives a failure: let go of earlier, it would answer that the engine has stopped
    auto begun = guarded("submitting a request", [&]() -> Status {
      TROUPE_TRY(auto place, gate->enter());
      submit.job = {model, std::make_shared<const GenerationRequest>(request), std::move(place)};
      submit.submission = submission_of(request, window_tokens);
      submit.submission.tag = next_tag.fetch_add(1, std::memory_order_relaxed);
      submit.listener = answered_for_certain(listener);
      caf::anon_send(sink, std::move(submit));
      return {};
    });
    if (!begun && listener->claim_answer()) listener->on_error(std::move(begun).error());
  }

  void cancel(RequestId request) override {
    caf::anon_send<caf::message_priority::high>(router, Cancel{request});
  }
  void consumed(RequestId request, std::uint32_t tokens) override {
    caf::anon_send(router, Consumed{request, tokens});
  }
  const EngineOptions& stream_options() const override { return options; }

  std::size_t parallelism(const BatchOptions& batch_options) const {
    return batch_options.parallelism_max != 0 ? batch_options.parallelism_max : options.pool_max;
  }
  std::size_t batch(const BatchSource& source, const BatchOptions& batch_options, const BatchSink& results);

  void stop() {
    std::call_once(stopped, [this] {
      {
        caf::scoped_actor self(system);
        self->request(router, caf::infinite, Drain{options.drain_ms})
            .receive([](Drained) {}, [](caf::error&) {});
      }
      caf::anon_send(sink, Quit{});
      stuck = !await_end(system, *company.counters, options.step_stall_ms_max);
      if (stuck)
        log_error(
            "a forward pass has not ended; the engine stops without it, and what it uses stays in memory");
    });
  }

  const Company company;
  const std::shared_ptr<const Model>& model;  // company's
  const EngineOptions& options;
  const std::shared_ptr<Gate>& gate;
  std::atomic<StreamTag> next_tag{1};
  std::once_flag stopped;
  bool stuck = false;  // after stop(): some actor will not end
  SystemConfig config;
  caf::actor_system system;  // its destructor waits for all actors
  EventSinkActor sink;
  RouterActor router;
};

/// A PolledStream that is waited for.
struct Stream::Impl {
  PolledStream stream;
  std::shared_ptr<ThreadWaker> waker = std::make_shared<ThreadWaker>();

  std::optional<TokenEvent> next(std::optional<TimePoint> until) {
    for (bool in_time = true;; in_time = waker->wait(until)) {
      auto event = stream.next();
      if (event || stream.ended() || !in_time) return event;
      stream.wake_on(PolledStream::Until::token, waker);
    }
  }
};

Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

std::optional<TokenEvent> Stream::next() {
  return impl_->next(std::nullopt);
}

std::optional<TokenEvent> Stream::next_for(std::chrono::milliseconds wait, bool& timed_out) {
  auto event = impl_->next(after(wait));
  timed_out = !event && !impl_->stream.ended();
  return event;
}

void Stream::cancel() {
  impl_->stream.cancel();
}

Result<Generation> Stream::result() {
  while (next()) {
  }
  return *impl_->stream.result();
}

Result<std::unique_ptr<Engine>> Engine::start(std::shared_ptr<const Model> model,
                                              const EngineOptions& options) {
  TROUPE_TRY(Company company, make_company(std::move(model), options));
  return guarded("starting the engine", [&]() -> Result<std::unique_ptr<Engine>> {
    require_threads(SystemConfig::threads(company.resolved.options));
    return std::unique_ptr<Engine>(new Engine(std::make_shared<Impl>(std::move(company))));
  });
}

Engine::Engine(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() {
  impl_->stop();
  if (impl_->stuck) keep_for_good(impl_);
}

const Model& Engine::model() const noexcept {
  return *impl_->model;
}
const EngineOptions& Engine::options() const noexcept {
  return impl_->options;
}

Result<Stream> Engine::open_stream(const GenerationRequest& request) {
  const EngineOptions& options = impl_->options;
  const std::uint32_t window = options.stream_window_tokens;
  const auto channel = std::make_shared<PolledChannel>(impl_, PolledStream::Reads::tokens);
  TROUPE_TRY(const RequestId admitted, impl_->submit(request, window, channel));
  channel->on_admitted(admitted);
  auto credit = std::make_unique<ReaderCredit>(window, options.reader_stall_ms_max);
  return Stream(std::unique_ptr<Stream::Impl>(new Stream::Impl{{impl_, channel, std::move(credit)}}));
}

std::future<Result<Generation>> Engine::generate(const GenerationRequest& request) {
  std::promise<Result<Generation>> promise;
  auto future = promise.get_future();
  const auto listener = std::make_shared<FutureListener>(std::move(promise));
  auto admitted = impl_->submit(request, 0, listener);
  if (!admitted && listener->claim_answer()) listener->on_error(std::move(admitted).error());
  return future;
}

Result<Generation> Engine::stream(const GenerationRequest& request,
                                  const std::function<bool(const TokenEvent&)>& on_token) {
  TROUPE_TRY(Stream stream, open_stream(request));
  bool wanted = true;
  while (const auto event = stream.next()) {
    if (wanted && !on_token(*event)) {
      wanted = false;
      stream.cancel();
    }
  }
  return stream.result();
}

std::vector<GenerationRequest> Engine::seeded_requests(std::span<const std::string> prompts,
                                                       const GenerationOptions& options) {
  std::vector<GenerationRequest> requests(prompts.size());
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    requests[i].prompt = prompts[i];
    requests[i].options = options;
    requests[i].options.sampling.seed = options.sampling.seed + i;
  }
  return requests;
}

std::size_t Engine::Impl::batch(const BatchSource& source, const BatchOptions& batch_options,
                                const BatchSink& results) {
  BatchEngine engine;
  engine.make_work = [this](const GenerationRequest& request) { return encoded(request); };
  engine.submit = [this](const GenerationRequest& request, const std::shared_ptr<const Work>& work,
                         const std::shared_ptr<StreamListener>& listener) {
    return submit(request, work, 0, listener);
  };
  engine.cancel = [this](RequestId request) { cancel(request); };
  return run_batch(source, batch_options, engine, parallelism(batch_options), results);
}

std::vector<Result<Generation>> Engine::batch(std::span<const GenerationRequest> requests,
                                              const BatchOptions& options) {
  std::vector<Result<Generation>> results;
  results.reserve(requests.size());
  std::size_t next = 0;
  BatchSource source;
  source.next = [&] { return next < requests.size() ? &requests[next++] : nullptr; };
  source.total = requests.size();
  impl_->batch(source, options,
               [&](std::size_t, Result<Generation> result) { results.push_back(std::move(result)); });
  return results;
}

std::size_t Engine::batch(const std::function<std::optional<GenerationRequest>()>& next,
                          const BatchOptions& options) {
  std::optional<GenerationRequest> request;
  BatchSource source;
  source.next = [&]() -> const GenerationRequest* {
    request = next();
    return request ? &*request : nullptr;
  };
  source.ready = options.ready;
  source.pending_max = options.pending_max != 0 ? options.pending_max : 4 * impl_->parallelism(options);
  return impl_->batch(source, options, [](std::size_t, const Result<Generation>&) {});
}

EngineDoor::EngineDoor(Engine& engine) : host_(engine.impl_) {}

EngineStats Engine::stats() const {
  return stats_of(impl_->company);
}

Metrics Engine::metrics() const {
  return metrics_of(impl_->company);
}

void Engine::stop() {
  impl_->stop();
}

}  // namespace troupe
