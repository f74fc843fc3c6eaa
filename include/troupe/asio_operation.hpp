#pragma once
// Internal to asio.hpp: how a thread of the engine completes an operation of Asio. Boost ≥ 1.81, headers
// only.

#include <utility>  // older Boost's coroutines forget it

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/asio/system_executor.hpp>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <tuple>
#include <type_traits>
#include <vector>

#include "troupe/polled_stream.hpp"

namespace troupe::detail {

namespace asio = boost::asio;

class PendingOperation;

/// The operations whose handlers belong to one execution context. When that is destroyed before they
/// complete, their handlers are destroyed uncalled, as those of Asio's own operations are, and their requests
/// cancelled. Thread-safe.
class ContextWatch {
 public:
  void add(PendingOperation& operation) {
    const std::lock_guard lock(mutex_);
    if (!gone_) pending_.insert(&operation);
  }

  void remove(PendingOperation& operation) {
    const std::lock_guard lock(mutex_);
    pending_.erase(&operation);
  }

  /// Runs `post` for a pending operation while its context is sure to live.
  template <class Post>
  void post_for(PendingOperation& operation, Post post) {
    const std::lock_guard lock(mutex_);
    if (pending_.count(&operation) != 0) post();
  }

  inline void context_gone();

 private:
  std::mutex mutex_;
  bool gone_ = false;
  std::set<PendingOperation*> pending_;
};

/// One per context, made on first use; its end tells the watch.
class ContextService final : public asio::execution_context::service {
 public:
  using key_type = ContextService;
  inline static asio::execution_context::id id;

  explicit ContextService(asio::execution_context& context) : service(context) {}
  const std::shared_ptr<ContextWatch>& watch() const noexcept { return watch_; }

 private:
  void shutdown() override { watch_->context_gone(); }

  std::shared_ptr<ContextWatch> watch_ = std::make_shared<ContextWatch>();
};

/// The watch of an executor's context; one that watches nothing for executors which do not tell their
/// context.
template <class Executor>
std::shared_ptr<ContextWatch> watch_of(const Executor& executor) {
  if constexpr (asio::can_query_v<const Executor&, asio::execution::context_t>) {
    using Context = decltype(asio::query(executor, asio::execution::context));
    if constexpr (std::is_convertible_v<Context, asio::execution_context&>) {
      asio::execution_context& context = asio::query(executor, asio::execution::context);
      return asio::use_service<ContextService>(context).watch();
    }
  }
  return std::make_shared<ContextWatch>();
}

/// An operation that has begun. Owned by whoever will complete it: a stream, as its waker, or handlers posted
/// to its own context.
class PendingOperation : public std::enable_shared_from_this<PendingOperation> {
 public:
  PendingOperation(const PendingOperation&) = delete;
  PendingOperation& operator=(const PendingOperation&) = delete;
  virtual ~PendingOperation() { watch_->remove(*this); }

  /// The context is gone: lets go of the handler and all that belongs to the context.
  virtual void abandon() = 0;

 protected:
  explicit PendingOperation(std::shared_ptr<ContextWatch> watch) : watch_(std::move(watch)) {
    watch_->add(*this);
  }

  ContextWatch& watch() { return *watch_; }

 private:
  std::shared_ptr<ContextWatch> watch_;
};

inline void ContextWatch::context_gone() {
  std::vector<std::shared_ptr<PendingOperation>> abandoned;
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    for (PendingOperation* operation : pending_) {
      // Null for one that is being destroyed: its destructor waits for the lock.
      if (auto alive = operation->weak_from_this().lock()) abandoned.push_back(std::move(alive));
    }
    pending_.clear();
  }
  for (const auto& operation : abandoned) operation->abandon();
}

struct DoNothing {
  void operator()(const auto&...) const {}
};

/// What is posted to the handler's executor in the end, allocated as the handler wishes. There `first` is
/// called with handler and values, then the handler.
template <class Handler, class First, class... Values>
struct Delivery {
  Handler handler;
  First first;
  std::tuple<Values...> values;

  using allocator_type = asio::associated_allocator_t<Handler>;
  allocator_type get_allocator() const noexcept { return asio::get_associated_allocator(handler); }

  void operator()() {
    std::apply([this](auto&... each) { first(std::as_const(handler), each...); }, values);
    std::apply(std::move(handler), std::move(values));
  }
};

/// Holds the handler, and its context's run(), until complete().
template <class Handler, class FallbackExecutor = asio::system_executor>
class Operation : public PendingOperation {
 public:
  using Executor = asio::associated_executor_t<Handler, FallbackExecutor>;

  explicit Operation(Handler handler, const FallbackExecutor& fallback = FallbackExecutor())
      : Operation(asio::get_associated_executor(handler, fallback), std::move(handler)) {}

  void abandon() override {
    handler_.reset();
    work_.reset();
  }

 protected:
  /// Posts the handler's call, the first time; any thread.
  template <class... Values>
  void complete(Values... values) {
    complete_after(DoNothing(), std::move(values)...);
  }

  /// The same. `first` is called with handler and values just before the handler is, on its executor: what
  /// belongs to that, or is read there, must be made there.
  template <class First, class... Values>
  void complete_after(First first, Values... values) {
    watch().post_for(*this, [&] {
      if (!handler_) return;
      Delivery<Handler, First, Values...> delivery{
          std::move(*handler_), std::move(first), {std::move(values)...}};
      handler_.reset();
      asio::post(work_->get_executor(), std::move(delivery));
      work_.reset();
    });
  }

  /// Until complete() has been called.
  Executor executor() const { return work_->get_executor(); }

 private:
  Operation(const Executor& executor, Handler&& handler)
      : PendingOperation(watch_of(executor)), handler_(std::move(handler)), work_(std::in_place, executor) {}

  std::optional<Handler> handler_;
  std::optional<asio::executor_work_guard<Executor>> work_;
};

/// An operation that its stream wakes.
template <class Handler, class FallbackExecutor = asio::system_executor>
class WokenOperation : public Operation<Handler, FallbackExecutor>, public Waker {
 protected:
  using Operation<Handler, FallbackExecutor>::Operation;

  std::shared_ptr<Waker> waker() {
    return std::static_pointer_cast<WokenOperation>(this->shared_from_this());
  }
};

/// Makes an operation for `handler` that its cancellation slot, if it has one, calls back with cancel(type).
template <template <class> class Kind, class Handler, class... Arguments>
std::shared_ptr<Kind<Handler>> make_operation(Handler handler, Arguments&&... arguments) {
  auto slot = asio::get_associated_cancellation_slot(handler);
  auto operation = std::make_shared<Kind<Handler>>(std::move(handler), std::forward<Arguments>(arguments)...);
  if (slot.is_connected()) {
    // Weak: the slot keeps this until it is used for something else.
    slot.assign([weak = std::weak_ptr<Kind<Handler>>(operation)](asio::cancellation_type type) {
      constexpr auto all = asio::cancellation_type::all;
      if (const auto running = weak.lock(); running && (type & all) != asio::cancellation_type::none)
        running->cancel(type);
    });
  }
  return operation;
}

}  // namespace troupe::detail
