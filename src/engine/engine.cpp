#include "troupe/engine.hpp"

#include <algorithm>
#include <atomic>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <mutex>

#include "actors/batcher.hpp"
#include "actors/event_sink.hpp"
#include "actors/generator.hpp"
#include "actors/router.hpp"
#include "base/guard.hpp"
#include "base/try.hpp"
#include "engine/batch_run.hpp"
#include "engine/listeners.hpp"
#include "engine/resolve.hpp"

namespace troupe {
namespace {

/// Reads and checks by CAF of files and arguments are for programs that own their process: none here.
class SystemConfig : public caf::actor_system_config {
 public:
  explicit SystemConfig(unsigned threads) {
    // Work sharing sleeps when idle; CAF's default, work stealing, polls.
    set("scheduler.policy", caf::atom("sharing"));
    set("scheduler.max-threads", std::max<std::size_t>(2, threads));
    // So that no actor keeps a worker while others wait.
    set("scheduler.max-throughput", std::size_t{16});
  }
};

Result<std::shared_ptr<const Work>> make_work(const GenerationRequest& request, const Tokenizer& tokenizer) {
  auto work = std::make_shared<Work>();
  work->options = request.options;
  if (const auto* tokens = std::get_if<std::vector<Token>>(&request.prompt)) {
    work->prompt = *tokens;
  } else {
    EncodeOptions encode;
    encode.add_special = true;
    TROUPE_TRY(work->prompt, tokenizer.encode(std::get<std::string>(request.prompt), encode));
    // A text that is to be continued does not end here, whatever the vocabulary does with whole texts.
    if (tokenizer.adds_eos() && !work->prompt.empty() && work->prompt.back() == tokenizer.eos())
      work->prompt.pop_back();
  }
  return std::shared_ptr<const Work>(std::move(work));
}

std::function<std::unique_ptr<Stepper>()> stepper_maker(const std::shared_ptr<const Model>& model,
                                                        const ResolvedOptions& r) {
  return [model, type = r.kv_type, pages = r.kv_pages_max, context = r.options.context_tokens,
          threads = r.options.threads] { return make_model_stepper(model, type, pages, context, threads); };
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
struct Engine::Impl {
  /// `first` is the first batcher's stepper, made beforehand so that what it lacks is an error of start().
  Impl(std::shared_ptr<const Model> m, const ResolvedOptions& r, std::unique_ptr<Stepper> first)
      : model(std::move(m)),
        options(r.options),
        kv_pages_max(r.kv_pages_max),
        counters(std::make_shared<Counters>()),
        config(options.threads),
        system(config),
        sink(spawn_event_sink(system)) {
    RouterConfig router_config;
    router_config.model = model;
    router_config.counters = counters;
    router_config.options = options;
    router_config.kv_pages_max = kv_pages_max;
    router_config.make_generator = [this] { return spawn_generator(system, model, options.context_tokens); };
    BatcherConfig batcher_config;
    batcher_config.counters = counters;
    batcher_config.step_tokens_max = options.step_tokens_max;
    batcher_config.straggler_wait_us = options.straggler_wait_us;
    batcher_config.make_stepper = [prepared = std::make_shared<std::unique_ptr<Stepper>>(std::move(first)),
                                   make = stepper_maker(model, r)] {
      return *prepared ? std::move(*prepared) : make();
    };
    router_config.make_batcher = [this, batcher_config] { return spawn_batcher(system, batcher_config); };
    router = spawn_router(system, router_config);
    caf::anon_send(sink, router);
  }

  ~Impl() { stop(); }

  /// Sends a request to the router. Refused: the listener hears nothing more, and whoever called claims its
  /// answer.
  Result<RequestId> submit(const GenerationRequest& request, std::shared_ptr<const Work> work,
                           std::uint32_t window_tokens, const std::shared_ptr<StreamListener>& listener) {
    Submission submission;
    submission.work = std::move(work);
    submission.deadline = request.deadline;
    submission.priority = request.priority;
    submission.client_key = request.client_key;
    submission.window_tokens = window_tokens;
    submission.sink = sink;
    submission.tag = next_tag.fetch_add(1, std::memory_order_relaxed);
    const StreamTag tag = submission.tag;
    caf::anon_send(sink, Attach{tag, listener});

    Admission admission;
    caf::scoped_actor self(system);
    self->request(router, caf::infinite, std::move(submission))
        .receive([&](Admission& a) { admission = std::move(a); },
                 [&](caf::error&) {
                   admission.refusal = Error{Errc::draining, "the engine has stopped"};
                 });
    if (!admission.refusal) return admission.request;
    caf::anon_send(sink, Detach{tag});
    return *std::move(admission.refusal);
  }

  Result<RequestId> submit(const GenerationRequest& request, std::uint32_t window_tokens,
                           const std::shared_ptr<StreamListener>& listener) {
    return guarded("submitting a request", [&]() -> Result<RequestId> {
      TROUPE_TRY(auto work, make_work(request, model->tokenizer()));
      return submit(request, std::move(work), window_tokens, listener);
    });
  }

  void cancel(RequestId request) { caf::anon_send<caf::message_priority::high>(router, Cancel{request}); }

  void stop() {
    std::call_once(stopped, [this] {
      {
        caf::scoped_actor self(system);
        self->request(router, caf::infinite, Drain{options.drain_ms})
            .receive([](Drained) {}, [](caf::error&) {});
      }
      caf::anon_send(sink, Quit{});
      system.await_all_actors_done();
    });
  }

  std::shared_ptr<const Model> model;
  EngineOptions options;
  std::size_t kv_pages_max;
  std::shared_ptr<Counters> counters;
  std::atomic<StreamTag> next_tag{1};
  std::once_flag stopped;
  SystemConfig config;
  caf::actor_system system;  // its destructor waits for all actors
  EventSinkActor sink;
  RouterActor router;
};

struct Stream::Impl {
  std::weak_ptr<Engine::Impl> engine;
  RequestId request = 0;
  std::shared_ptr<StreamChannel> channel = std::make_shared<StreamChannel>();
  std::uint32_t credit_step = 1;  // tokens read between two Consumed messages
  std::uint32_t unreported = 0;   // tokens read since the last
  bool ended = false;

  ~Impl() {
    if (!ended) cancel();
  }

  void cancel() {
    if (const auto running = engine.lock()) running->cancel(request);
  }

  std::optional<TokenEvent> next(std::optional<TimePoint> until) {
    if (ended) return std::nullopt;
    auto event = channel->next(until, ended);
    if (event && event->token != no_token && ++unreported == credit_step) {
      if (const auto running = engine.lock()) caf::anon_send(running->router, Consumed{request, unreported});
      unreported = 0;
    }
    return event;
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
  timed_out = !event && !impl_->ended;
  return event;
}

void Stream::cancel() {
  impl_->cancel();
}

Result<Generation> Stream::result() {
  while (next()) {
  }
  return impl_->channel->result();
}

Result<std::unique_ptr<Engine>> Engine::start(std::shared_ptr<const Model> model,
                                              const EngineOptions& options) {
  if (model == nullptr) return Error{Errc::bad_argument, "there is no model to run", 0};
  TROUPE_TRY(const ResolvedOptions resolved, resolve(options, *model));
  return guarded("starting the engine", [&]() -> Result<std::unique_ptr<Engine>> {
    auto stepper = stepper_maker(model, resolved)();
    auto impl = std::make_shared<Impl>(std::move(model), resolved, std::move(stepper));
    return std::unique_ptr<Engine>(new Engine(std::move(impl)));
  });
}

Engine::Engine(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Engine::~Engine() {
  impl_->stop();
}

const Model& Engine::model() const noexcept {
  return *impl_->model;
}
const EngineOptions& Engine::options() const noexcept {
  return impl_->options;
}

Result<Stream> Engine::open_stream(const GenerationRequest& request) {
  auto stream = std::make_unique<Stream::Impl>();
  const std::uint32_t window = impl_->options.stream_window_tokens;
  auto admitted = impl_->submit(request, window, stream->channel);
  if (!admitted) {
    stream->ended = true;
    return std::move(admitted).error();
  }
  stream->engine = impl_;
  stream->request = *admitted;
  // Credit goes back in halves of the window: few messages, and the generator is not kept waiting for them.
  stream->credit_step = std::max<std::uint32_t>(1, window / 2);
  return Stream(std::move(stream));
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

std::vector<Result<Generation>> Engine::batch(std::span<const GenerationRequest> requests,
                                              const BatchOptions& options) {
  BatchEngine engine;
  engine.make_work = [this](const GenerationRequest& request) {
    return guarded("encoding a prompt", [&] { return make_work(request, impl_->model->tokenizer()); });
  };
  engine.submit = [this](const GenerationRequest& request, const std::shared_ptr<const Work>& work,
                         const std::shared_ptr<StreamListener>& listener) {
    return impl_->submit(request, work, 0, listener);
  };
  engine.cancel = [this](RequestId request) { impl_->cancel(request); };
  return run_batch(requests, options, engine,
                   options.parallelism_max != 0 ? options.parallelism_max : impl_->options.pool_max);
}

EngineStats Engine::stats() const {
  const Counters& c = *impl_->counters;
  EngineStats stats;
  stats.requests_admitted = c.requests_admitted;
  stats.requests_refused = c.requests_refused;
  stats.requests_finished = c.requests_finished;
  stats.requests_cancelled = c.requests_cancelled;
  stats.requests_failed = c.requests_failed;
  stats.requests_queued = c.requests_queued;
  stats.requests_running = c.requests_running;
  stats.generators = c.generators;
  stats.replays = c.replays;
  stats.restarts = c.restarts;
  stats.prompt_tokens = c.prompt_tokens;
  stats.completion_tokens = c.completion_tokens;
  stats.steps = c.steps;
  stats.step_rows = c.step_rows;
  stats.step_seconds = static_cast<double>(c.step_ns.load()) * 1e-9;
  stats.kv_pages_total = impl_->kv_pages_max;
  stats.kv_pages_used = c.kv_pages_used;
  stats.kv_pages_peak = c.kv_pages_peak;
  return stats;
}

void Engine::stop() {
  impl_->stop();
}

const char* finish_reason_name(FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::stop: return "stop";
    case FinishReason::length: return "length";
    case FinishReason::cancelled: return "cancelled";
    case FinishReason::deadline: return "deadline";
  }
  return "unknown";
}

}  // namespace troupe
