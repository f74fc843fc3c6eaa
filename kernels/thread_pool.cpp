#include "kernels/thread_pool.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/default_arithmetic.hpp"

namespace troupe {
namespace {

// The pause between two operations of a step is a few microseconds, between two steps up to some tens, and a
// wake-up through the system takes as long again: spinning this long keeps the workers awake as long as steps
// follow each other.
constexpr std::chrono::microseconds spin_time{200};

inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits until value != old: first spinning, then asleep.
template <class T>
void wait_while_equal(const std::atomic<T>& value, T old) noexcept {
  const auto deadline = std::chrono::steady_clock::now() + spin_time;
  do {
    for (int i = 0; i < 64; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

// One operation is: publish the fields, advance `epoch`, work, close, wait for those inside to leave.
// A worker enters by raising `inside` and then looking whether the operation is still open; the caller
// closes and then looks at `inside`. All four are sequentially consistent, so either the worker sees the
// operation closed, or the caller sees the worker inside. A worker that wakes late therefore costs the
// caller nothing, and nobody reads the fields while they change.
struct ThreadPool::State {
  // Written by the caller while nobody is inside.
  Call call = nullptr;
  void* context = nullptr;
  std::size_t count = 0;

  alignas(64) std::atomic<std::size_t> next{0};
  alignas(64) std::atomic<std::uint32_t> epoch{0};
  std::atomic<bool> open{false};
  std::atomic<bool> stopping{false};
  alignas(64) std::atomic<std::uint32_t> inside{0};

  std::atomic<bool> has_asides{false};
  std::atomic<std::size_t> asides_begun{0};  // and not ended
  std::mutex asides_mutex;
  std::vector<std::function<void()>> asides;

  std::vector<std::thread> workers;

  void take_all(unsigned worker) {
    for (;;) {
      const std::size_t index = next.fetch_add(1, std::memory_order_relaxed);
      if (index >= count) return;
      call(context, index, worker);
    }
  }

  void take_asides() {
    std::vector<std::function<void()>> jobs;
    {
      const std::lock_guard lock(asides_mutex);
      jobs.swap(asides);
      has_asides.store(false);
    }
    for (const auto& job : jobs) {
      job();
      asides_begun.fetch_sub(1);
    }
  }

  void work(unsigned worker) {
    const DefaultArithmetic arithmetic;
    std::uint32_t seen = 0;
    for (bool again = false;;) {
      if (!again) wait_while_equal(epoch, seen);
      inside.fetch_add(1);
      // Read inside, so that it names the operation that is joined and none is joined twice in vain.
      seen = epoch.load();
      const bool is_open = open.load();
      // A job that came before the operation goes first: should the operation hang, whoever is to find that
      // out may be in the job.
      again = has_asides.load();
      if (is_open && !again) take_all(worker);
      if (inside.fetch_sub(1) == 1) inside.notify_one();
      if (again) take_asides();
      // After `seen` was read: it may be the epoch that stop() made, and then no other will come.
      if (stopping.load()) return;
    }
  }

  void stop() {
    stopping.store(true);
    epoch.fetch_add(1);
    epoch.notify_all();
    for (std::thread& worker : workers) {
      if (worker.get_id() == std::this_thread::get_id()) {
        worker.detach();  // it is in a job; when that returns it ends, without another look at the pool
      } else {
        worker.join();
      }
    }
    take_asides();
  }
};

ThreadPool::ThreadPool(unsigned threads) : state_(std::make_shared<State>()) {
  if (threads == 0) threads = usable_threads();
  state_->workers.reserve(threads - 1);
  try {
    for (unsigned worker = 1; worker < threads; ++worker)
      state_->workers.emplace_back([state = state_, worker] { state->work(worker); });
  } catch (const std::bad_alloc&) {
    state_->stop();  // those that run must end before the exception leaves
    throw;
  } catch (const std::system_error& error) {
    const std::size_t started = state_->workers.size() + 1;
    state_->stop();
    throw std::system_error(error.code(), "the system gives no more than " + std::to_string(started) +
                                              " of " + std::to_string(threads) +
                                              " kernel threads; ask for fewer");
  }
}

ThreadPool::~ThreadPool() {
  state_->stop();
}

bool ThreadPool::aside(std::function<void()> job) {
  State& state = *state_;
  // One that waits behind another job would wait for whatever that waits for.
  if (state.asides_begun.load() >= state.workers.size()) return false;
  {
    const std::lock_guard lock(state.asides_mutex);
    state.asides.push_back(std::move(job));
    state.asides_begun.fetch_add(1);
    state.has_asides.store(true);
  }
  state.epoch.fetch_add(1);
  state.epoch.notify_one();
  return true;
}

unsigned ThreadPool::threads() const noexcept {
  return static_cast<unsigned>(state_->workers.size()) + 1;
}

void ThreadPool::run(std::size_t count, Call call, void* context) {
  const DefaultArithmetic arithmetic;
  if (state_->workers.empty() || count <= 1) {
    for (std::size_t index = 0; index < count; ++index) call(context, index, 0);
    return;
  }
  State& state = *state_;
  state.call = call, state.context = context, state.count = count;
  state.next.store(0, std::memory_order_relaxed);
  state.open.store(true);
  state.epoch.fetch_add(1);
  state.epoch.notify_all();
  state.take_all(0);
  state.open.store(false);
  for (std::uint32_t inside = state.inside.load(); inside != 0; inside = state.inside.load())
    wait_while_equal(state.inside, inside);
}

}  // namespace troupe
