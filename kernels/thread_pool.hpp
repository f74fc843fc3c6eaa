#pragma once
// Fork-join for the kernels: a fixed set of threads that all work on one operation at a time.

#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>

namespace troupe {

/// Number of hardware threads that this process may really use: the smallest of the affinity mask, the
/// cgroup CPU quota (rounded down, at least 1) and the cores online.
unsigned usable_threads() noexcept;

/// More than any machine has: what is asked beyond it is a mistake.
inline constexpr unsigned threads_max = 1024;

/// `threads` workers, the calling thread being one of them. Between operations workers spin for some
/// microseconds, then sleep. One operation at a time: parallel_for() must not be called from two threads
/// at once nor from inside a body. Results of the kernels never depend on `threads`.
class ThreadPool {
 public:
  /// threads = 0 means usable_threads(). 1 starts no thread at all. Throws std::system_error when the
  /// system gives no thread.
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned threads() const noexcept;

  /// Calls body(index, worker) once for every index in [0, count), worker in [0, threads()), and returns
  /// when all calls have returned. Indices are handed out in order from one counter, so a slow core takes
  /// fewer of them. All compute in the default modes of arithmetic. The body must not throw.
  template <class Body>
  void parallel_for(std::size_t count, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(
        count,
        [](void* context, std::size_t index, unsigned worker) {
          (*static_cast<Plain*>(context))(index, worker);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

  /// Has one of the workers call `job`, soon: now if it is between two operations, for it then would only
  /// spin. Operations that begin meanwhile do without it. False, and nothing is done, where every worker has
  /// such a job already, or there is none. What none has got to is called by the destructor. The job must not
  /// throw, but may be what destroys the pool. Called as parallel_for() is.
  bool aside(std::function<void()> job);

 private:
  using Call = void (*)(void* context, std::size_t index, unsigned worker);
  void run(std::size_t count, Call call, void* context);

  struct State;
  std::shared_ptr<State> state_;  // also held by the workers
};

}  // namespace troupe
