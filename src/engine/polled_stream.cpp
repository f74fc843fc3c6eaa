#include "troupe/polled_stream.hpp"

#include "engine/polled_channel.hpp"
#include "engine/reader_credit.hpp"

namespace troupe {

// ---- PolledChannel ---------------------------------------------------------------------------------------

void PolledChannel::on_admitted(RequestId request) {
  std::unique_lock lock(mutex_);
  request_ = request;
  const bool cancelled = cancelled_;
  wake(std::move(lock));
  if (!cancelled) return;
  if (const auto host = host_.lock()) host->cancel(request);
}

void PolledChannel::on_token(TokenEvent event) {
  std::unique_lock lock(mutex_);
  collector_.add(event);
  if (reads_ == PolledStream::Reads::tokens) events_.push_back(std::move(event));
  wake(std::move(lock));
}

void PolledChannel::on_end(FinishReason reason, const Usage& usage, const Timings& timings) {
  std::unique_lock lock(mutex_);
  result_.emplace(collector_.finish(reason, usage, timings));
  wake(std::move(lock));
}

void PolledChannel::on_error(Error error) {
  std::unique_lock lock(mutex_);
  if (cancelled_ && request_ == 0) {
    // Nobody wants to know any more why it is not admitted.
    result_.emplace(collector_.finish(FinishReason::cancelled, {}, {}));
  } else {
    result_.emplace(std::move(error));
  }
  wake(std::move(lock));
}

std::optional<TokenEvent> PolledChannel::next() {
  const std::lock_guard lock(mutex_);
  if (events_.empty()) return std::nullopt;
  TokenEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

bool PolledChannel::ended() const {
  const std::lock_guard lock(mutex_);
  return result_ && events_.empty();
}

std::optional<Result<Generation>> PolledChannel::result() const {
  const std::lock_guard lock(mutex_);
  return result_;
}

RequestId PolledChannel::request() const {
  const std::lock_guard lock(mutex_);
  return request_;
}

void PolledChannel::cancel() {
  RequestId request = 0;
  {
    const std::lock_guard lock(mutex_);
    if (result_) return;
    cancelled_ = true;
    request = request_;
  }
  if (request == 0) return;  // its admission will see to it
  if (const auto host = host_.lock()) host->cancel(request);
}

void PolledChannel::wake_on(Until until, std::shared_ptr<Waker> waker) {
  std::unique_lock lock(mutex_);
  until_ = until;
  waker_.swap(waker);  // the old one is let go when the lock is
  wake(std::move(lock));
}

bool PolledChannel::holds(Until until) const {
  if (result_) return true;
  switch (until) {
    case Until::admitted: return request_ != 0;
    case Until::token: return !events_.empty();
    case Until::ended: return false;
  }
  return false;
}

void PolledChannel::wake(std::unique_lock<std::mutex> lock) {
  if (!waker_ || !holds(until_)) return;
  const std::shared_ptr<Waker> waker = std::move(waker_);
  waker_ = nullptr;
  lock.unlock();
  waker->wake();
}

// ---- PolledStream ----------------------------------------------------------------------------------------

PolledStream::PolledStream(std::weak_ptr<StreamHost> host, std::shared_ptr<PolledChannel> channel,
                           std::unique_ptr<ReaderCredit> credit)
    : host_(std::move(host)), channel_(std::move(channel)), credit_(std::move(credit)) {}

PolledStream::PolledStream(PolledStream&&) noexcept = default;

PolledStream& PolledStream::operator=(PolledStream&& other) noexcept {
  if (this == &other) return *this;
  let_go();
  host_ = std::move(other.host_);
  channel_ = std::move(other.channel_);
  credit_ = std::move(other.credit_);
  return *this;
}

PolledStream::~PolledStream() {
  let_go();
}

void PolledStream::let_go() {
  if (!channel_) return;
  channel_->wake_on(Until::ended, nullptr);
  channel_->cancel();
}

std::optional<TokenEvent> PolledStream::next() {
  auto event = channel_->next();
  if (!event || event->token == no_token) return event;
  if (const std::uint32_t tokens = credit_->take()) {
    // Tokens come after their request's admission, so its id is known.
    if (const auto host = host_.lock()) host->consumed(channel_->request(), tokens);
  }
  return event;
}

bool PolledStream::ended() const {
  return channel_->ended();
}

std::optional<Result<Generation>> PolledStream::result() const {
  return channel_->result();
}

void PolledStream::cancel() {
  channel_->cancel();
}

void PolledStream::wake_on(Until until, std::shared_ptr<Waker> waker) {
  channel_->wake_on(until, std::move(waker));
}

// ---- EngineDoor ------------------------------------------------------------------------------------------

PolledStream EngineDoor::open(const GenerationRequest& request, PolledStream::Reads reads) const {
  const auto host = host_.lock();
  const EngineOptions options = host ? host->stream_options() : EngineOptions();
  const std::uint32_t window = reads == PolledStream::Reads::tokens ? options.stream_window_tokens : 0;
  auto channel = std::make_shared<PolledChannel>(host_, reads);
  if (host) {
    host->begin(request, window, channel);
  } else {
    channel->on_error(engine_stopped());
  }
  return PolledStream(host_, std::move(channel),
                      std::make_unique<ReaderCredit>(window, options.reader_stall_ms_max));
}

}  // namespace troupe
