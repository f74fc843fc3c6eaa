#include "engine/troupe_actor.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/exit_reason.hpp>
#include <caf/send.hpp>
#include <caf/stateful_actor.hpp>
#include <caf/typed_event_based_actor.hpp>
#include <caf/typed_response_promise.hpp>
#include <map>
#include <optional>
#include <unordered_map>

#include "actors/encode.hpp"
#include "base/guard.hpp"
#include "base/try.hpp"
#include "engine/listeners.hpp"

namespace troupe {
namespace {

/// What clients see, and what its router sends it.
using TroupeDoor =
    TroupeActor::extend<caf::reacts_to<StreamToken>, caf::reacts_to<StreamEnd>, caf::reacts_to<StreamError>>;

using AnswerPromise = caf::typed_response_promise<Generation>;
using OpenedPromise = caf::typed_response_promise<StreamOpened>;
using DrainedPromise = caf::typed_response_promise<Drained>;

/// A request between its arrival and its one end.
struct OpenRequest {
  caf::actor_addr client;  // whose death ends it
  RequestId id = 0;        // 0 until it is admitted
  bool cancelled = false;

  // Of a GenerationRequest:
  AnswerPromise answer;
  Collector collector;

  // Of an OpenStream:
  StreamReader reader;  // null: it is a GenerationRequest
  StreamTag tag = 0;    // the reader's own
  OpenedPromise opened;
  std::uint32_t ahead = 0;  // tokens sent that the reader has not said it consumed
};

/// The sink of its clients' requests, and the owner of the router that answers them.
class TroupeState {
 public:
  using Self = TroupeDoor::stateful_pointer<TroupeState>;

  TroupeState() = default;
  /// Killed, or let go of by all: whoever waits is told, and nobody works on.
  ~TroupeState() {
    if (!router_) return;
    caf::anon_send_exit(router_, caf::exit_reason::kill);
    caf::anon_send_exit(encoder_, caf::exit_reason::user_shutdown);
    const Error ended{Errc::fault, "the troupe has ended", 0};
    fail_all(ended);
    for (DrainedPromise& promise : drained_) promise.deliver(make_error(ended));
  }
  TroupeState(const TroupeState&) = delete;
  TroupeState& operator=(const TroupeState&) = delete;

  void start(Self self, const Company& company,
             const std::function<RouterActor(caf::actor_system&)>& make_router) {
    self_ = self;
    company_ = company;
    router_ = make_router(self_->system());
    encoder_ = spawn_encoder(self_->system());
    self_->monitor(router_);
    self_->set_down_handler([this](const caf::down_msg& m) { down(m); });
    self_->set_exit_handler([this](const caf::exit_msg& m) { exit(m); });
  }

  // ---- from clients ----

  AnswerPromise generate(GenerationRequest& m) {
    OpenRequest request;
    request.answer = self_->make_response_promise<Generation>();
    AnswerPromise promise = request.answer;
    request.client = caf::actor_cast<caf::actor_addr>(self_->current_sender());
    begin(std::move(request), std::move(m), 0);
    return promise;
  }

  OpenedPromise open(OpenStream& m) {
    OpenRequest request;
    request.opened = self_->make_response_promise<StreamOpened>();
    OpenedPromise promise = request.opened;
    if (!m.reader) {
      promise.deliver(make_error({Errc::bad_argument, "OpenStream has no reader", 0}));
      return promise;
    }
    request.client = m.reader.address();
    request.reader = m.reader;
    request.tag = m.tag;
    const EngineOptions& options = company_.resolved.options;
    begin(std::move(request), std::move(m.request),
          m.window_tokens != 0 ? m.window_tokens : options.stream_window_tokens);
    return promise;
  }

  void consumed(const Consumed& m) {
    OpenRequest* request = admitted(m.request);
    if (request == nullptr) return;
    const std::uint32_t tokens = std::min(m.tokens, request->ahead);
    request->ahead -= tokens;
    if (tokens != 0) self_->send(router_, Consumed{m.request, tokens});
  }

  void cancel(const Cancel& m) {
    if (OpenRequest* request = admitted(m.request)) cancel(*request);
  }

  DrainedPromise drain(const Drain& m) {
    drained_.push_back(self_->make_response_promise<Drained>());
    drain_router(m.drain_ms, caf::exit_reason::normal);
    return drained_.back();
  }

  EngineStats stats() const { return stats_of(company_); }
  Metrics metrics() const { return metrics_of(company_); }

  // ---- from the router ----

  void token(StreamToken& m) {
    const auto found = open_.find(m.tag);
    if (found == open_.end()) return;
    OpenRequest& request = found->second;
    if (!request.reader) return request.collector.add(m.event);
    if (m.event.token != no_token) ++request.ahead;
    m.tag = request.tag;
    self_->send(request.reader, std::move(m));
  }

  void end(StreamEnd& m) {
    auto request = close(m.tag);
    if (!request) return;
    if (!request->reader) {
      request->answer.deliver(request->collector.finish(m.reason, m.usage, m.timings));
      return;
    }
    m.tag = request->tag;
    self_->send(request->reader, m);
  }

  void error(const StreamError& m) {
    if (auto request = close(m.tag)) fail(*request, m.error);
  }

 private:
  // ---- requests ----

  void begin(OpenRequest request, GenerationRequest wanted, std::uint32_t window_tokens) {
    auto place = company_.gate->enter();
    if (!place) return fail(request, place.error());
    if (const caf::actor_addr& client = request.client; client && ++clients_[client] == 1)
      self_->monitor(client);
    auto submission = std::make_shared<Submission>(submission_of(wanted, window_tokens));
    submission->tag = ++last_tag_;
    submission->sink = StreamReader(self_);
    open_.emplace(submission->tag, std::move(request));
    encode_then(
        self_, encoder_,
        {company_.model, std::make_shared<const GenerationRequest>(std::move(wanted)), *std::move(place)},
        [this, submission](Encoded encoded) {
          if (encoded.refusal) return refused(submission->tag, *encoded.refusal);
          submission->work = std::move(encoded.work);
          submit(*submission);
        });
  }

  void submit(Submission& submission) {
    const StreamTag tag = submission.tag;
    self_->request(router_, caf::infinite, std::move(submission))
        .then(
            [this, tag](Admission& m) {
              if (m.refusal) return refused(tag, *m.refusal);
              OpenRequest& request = open_.at(tag);
              request.id = m.request;
              tags_.emplace(m.request, tag);
              if (request.reader) request.opened.deliver(StreamOpened{request.tag, m.request});
              if (request.cancelled) cancel(request);
            },
            [this, tag](caf::error&) {
              refused(tag, {Errc::draining, "the troupe has ended", 0});
            });
  }

  void refused(StreamTag tag, const Error& error) {
    if (auto request = close(tag)) fail(*request, error);
  }

  /// Takes it out of the books; its answer is up to the caller.
  std::optional<OpenRequest> close(StreamTag tag) {
    const auto found = open_.find(tag);
    if (found == open_.end()) return std::nullopt;
    OpenRequest request = std::move(found->second);
    open_.erase(found);
    tags_.erase(request.id);
    const auto client = clients_.find(request.client);
    if (client != clients_.end() && --client->second == 0) {
      self_->demonitor(request.client);
      clients_.erase(client);
    }
    return request;
  }

  void fail(OpenRequest& request, const Error& error) {
    if (!request.reader) {
      request.answer.deliver(make_error(error));
    } else if (request.id == 0) {
      request.opened.deliver(make_error(error));
    } else {
      caf::anon_send(request.reader, StreamError{request.tag, request.id, error});
    }
  }

  void fail_all(const Error& error) {
    for (auto& [tag, request] : std::exchange(open_, {})) fail(request, error);
  }

  OpenRequest* admitted(RequestId id) {
    const auto tag = tags_.find(id);
    return tag == tags_.end() ? nullptr : &open_.at(tag->second);
  }

  void cancel(OpenRequest& request) {
    request.cancelled = true;  // not admitted yet: when it is
    if (request.id != 0) self_->send<caf::message_priority::high>(router_, Cancel{request.id});
  }

  // ---- ends ----

  void down(const caf::down_msg& m) {
    if (m.source == router_.address()) {
      if (leaving_) return;  // it was drained
      const Error error = error_of(m.reason).value_or(
          Error{Errc::fault, "the router has ended: " + caf::to_string(m.reason), 0});
      fail_all(error);
      return leave(make_error(error));
    }
    clients_.erase(m.source);
    for (auto& [tag, request] : open_) {
      if (request.client == m.source) cancel(request);
    }
  }

  void exit(const caf::exit_msg& m) {
    if (!m.reason) return;  // a linked actor ended well
    const std::uint32_t drain_ms = exiting_ ? 0 : company_.resolved.options.drain_ms;
    exiting_ = true;
    drain_router(drain_ms, m.reason);
  }

  void drain_router(std::uint32_t drain_ms, const caf::error& reason) {
    self_->request(router_, caf::infinite, Drain{drain_ms})
        .then([this, reason](Drained) { leave(reason); },
              [](caf::error&) {});  // the router has died, which down() is about to hear
  }

  void leave(const caf::error& reason) {
    if (std::exchange(leaving_, true)) return;
    fail_all({Errc::draining, "the troupe has ended", 0});  // those that were still being encoded
    for (DrainedPromise& promise : drained_) promise.deliver(Drained{});
    drained_.clear();
    self_->quit(reason);
  }

  Self self_ = nullptr;
  Company company_;
  RouterActor router_;
  EncoderActor encoder_;
  StreamTag last_tag_ = 0;
  std::unordered_map<StreamTag, OpenRequest> open_;  // by the tag that the router knows
  std::unordered_map<RequestId, StreamTag> tags_;    // of those that are admitted
  std::map<caf::actor_addr, std::size_t> clients_;   // watched, and how many requests each has
  std::vector<DrainedPromise> drained_;              // who waits for the end
  bool exiting_ = false;                             // an exit message came
  bool leaving_ = false;
};

TroupeDoor::behavior_type troupe_actor(TroupeState::Self self, const Company& company,
                                       const std::function<RouterActor(caf::actor_system&)>& make_router) {
  self->state.start(self, company, make_router);
  return {
      [self](GenerationRequest& m) { return self->state.generate(m); },
      [self](OpenStream& m) { return self->state.open(m); },
      [self](const Consumed& m) { self->state.consumed(m); },
      [self](const Cancel& m) { self->state.cancel(m); },
      [self](const Drain& m) { return self->state.drain(m); },
      [self](const GetStats&) { return self->state.stats(); },
      [self](const GetMetrics&) { return self->state.metrics(); },
      [self](StreamToken& m) { self->state.token(m); },
      [self](StreamEnd& m) { self->state.end(m); },
      [self](const StreamError& m) { self->state.error(m); },
  };
}

}  // namespace

TroupeActor spawn_troupe_actor(caf::actor_system& system, const Company& company,
                               const std::function<RouterActor(caf::actor_system&)>& make_router) {
  return system.spawn(troupe_actor, company, make_router);
}

Result<TroupeActor> spawn_troupe(caf::actor_system& system, std::shared_ptr<const Model> model,
                                 const EngineOptions& options) {
  TROUPE_TRY(const Company company, make_company(std::move(model), options));
  return guarded("starting the troupe", [&]() -> Result<TroupeActor> {
    return spawn_troupe_actor(
        system, company, [company](caf::actor_system& where) { return spawn_company(where, company, true); });
  });
}

}  // namespace troupe
