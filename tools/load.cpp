#include "tools/load.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <thread>

#include "base/memory.hpp"
#include "base/random.hpp"
#include "tools/signals.hpp"

namespace troupe::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds look_interval(100);    // how soon it is noticed that the program is to stop
constexpr milliseconds sample_interval(250);  // between two looks at the memory

/// Streams of random numbers that have nothing to do with each other.
constexpr std::uint64_t arrivals_stream = 0x9E3779B97F4A7C15U;

float ms_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<float, std::milli>(to - from).count();
}

/// Memory for so many measurements that is touched now, so that taking them does not look like growth.
void provide(std::vector<float>& values, std::size_t count) {
  values.assign(count, 1);
  values.clear();
}

/// Collects what the clients of one run see, and what the engine's steps took meanwhile. Thread-safe, but for
/// begin() and finish().
class LoadMeter {
 public:
  LoadMeter(const Engine& engine, const std::vector<LoadKey>& keys, const LoadLimit& limit)
      : engine_(engine), limit_(limit) {
    result_.key_tokens_in_time.resize(keys.size());
    if (!limit.time) return;
    constexpr std::size_t tokens = 1U << 21, requests = 1U << 16, refusals = 1U << 18;
    provide(result_.inter_token_ms, tokens);
    provide(result_.refusal_ms, refusals);
    for (auto* values : {&result_.queue_ms, &result_.ttft_ms, &result_.e2e_ms}) provide(*values, requests);
  }

  void begin() {
    before_ = engine_.stats();
    began_ = last_end_ = Clock::now();
    if (limit_.time) until_ = began_ + std::chrono::duration_cast<Clock::duration>(*limit_.time);
  }

  Clock::time_point began() const { return began_; }

  /// The number of the next request; nullopt when there are enough.
  std::optional<std::uint64_t> next_request() {
    if (stop_requested() || Clock::now() >= until_) return std::nullopt;
    const std::uint64_t number = offered_.fetch_add(1);
    if (number < limit_.requests) return number;
    offered_.fetch_sub(1);
    return std::nullopt;
  }

  /// Waits for `when`, calling `meanwhile` now and then. False when the run ends first.
  template <class Meanwhile>
  bool wait_until(Clock::time_point when, Meanwhile meanwhile) const {
    for (auto now = Clock::now(); now < when; now = Clock::now()) {
      if (stop_requested() || now >= until_) return false;
      meanwhile();
      std::this_thread::sleep_until(std::min({when, until_, now + look_interval}));
    }
    return !stop_requested() && Clock::now() < until_;
  }

  void refused(Clock::time_point asked) {
    const float took = ms_between(asked, Clock::now());
    const std::lock_guard lock(mutex_);
    ++result_.refused;
    result_.refusal_ms.push_back(took);
  }

  /// The run ended before a request that had its number could be made.
  void withdrawn() { offered_.fetch_sub(1); }

  void failed(const Error& error) {
    const std::lock_guard lock(mutex_);
    count_failure(error);
  }

  /// Reads the stream to its end.
  void read(Stream& stream, Clock::time_point asked, std::size_t key) {
    const Running running(*this, stream);
    std::vector<float> gaps;
    std::optional<Clock::time_point> first;
    Clock::time_point last = asked;
    std::uint64_t tokens_in_time = 0;
    while (const std::optional<TokenEvent> event = stream.next()) {
      if (event->token == no_token) continue;
      const auto now = Clock::now();
      if (first) {
        gaps.push_back(ms_between(last, now));
      } else {
        first = now;
      }
      last = now;
      if (now < until_) ++tokens_in_time;
    }
    const auto end = Clock::now();
    const Result<Generation> answer = stream.result();

    const std::lock_guard lock(mutex_);
    result_.tokens_in_time += tokens_in_time;
    result_.key_tokens_in_time[key] += tokens_in_time;
    last_end_ = std::max(last_end_, end);
    if (!answer) return count_failure(answer.error());
    if (answer->finish_reason == FinishReason::cancelled) {
      ++result_.cancelled;
      return;
    }
    ++result_.completed;
    if (end < until_) ++result_.completed_in_time;
    result_.queue_ms.push_back(static_cast<float>(answer->timings.queue_ms));
    if (first) result_.ttft_ms.push_back(ms_between(asked, *first));
    result_.e2e_ms.push_back(ms_between(asked, end));
    result_.inter_token_ms.insert(result_.inter_token_ms.end(), gaps.begin(), gaps.end());
  }

  /// What there is to do a few times a second: the share that is done, and a look at the memory. When the
  /// program is to stop, cancels what runs: readers do not look at the clock, since hundreds of them would
  /// take much of it.
  double look() {
    const auto now = Clock::now();
    if (stop_requested()) {
      const std::lock_guard lock(mutex_);
      for (Stream* stream : running_) stream->cancel();
      running_.clear();
    }
    const double share = this->share(now);
    if (share >= 0.25 && now >= look_again_) {
      look_again_ = now + sample_interval;
      const std::uint64_t bytes = resident_memory_bytes();
      if (result_.resident_bytes_warm == 0) result_.resident_bytes_warm = bytes;
      result_.resident_bytes_max = std::max(result_.resident_bytes_max, bytes);
    }
    return share;
  }

  LoadResult finish() && {
    result_.offered = offered_;
    const EngineStats after = engine_.stats();
    result_.steps = after.steps - before_.steps;
    result_.step_s = after.step_seconds - before_.step_seconds;
    result_.between_steps_s = after.step_gap_seconds - before_.step_gap_seconds;
    result_.evictions = after.evictions - before_.evictions;
    auto to = std::min(last_end_, until_);
    if (stop_requested()) {
      to = std::min(Clock::now(), until_);
    } else if (limit_.time && offered_ < limit_.requests) {
      to = until_;  // the time ended it
    }
    result_.duration_s = std::chrono::duration<double>(to - began_).count();
    for (auto* values :
         {&result_.queue_ms, &result_.ttft_ms, &result_.e2e_ms, &result_.inter_token_ms, &result_.refusal_ms})
      values->shrink_to_fit();
    return std::move(result_);
  }

 private:
  /// The stream can be cancelled as long as this lives.
  class Running {
   public:
    Running(LoadMeter& meter, Stream& stream) : meter_(meter), stream_(stream) {
      const std::lock_guard lock(meter_.mutex_);
      meter_.running_.insert(&stream_);
    }
    ~Running() {
      const std::lock_guard lock(meter_.mutex_);
      meter_.running_.erase(&stream_);
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    LoadMeter& meter_;
    Stream& stream_;
  };

  double share(Clock::time_point now) {
    double share = 0;
    if (limit_.time)
      share = std::chrono::duration<double>(now - began_).count() / std::max(1e-9, limit_.time->count());
    if (limit_.requests != std::numeric_limits<std::uint64_t>::max()) {
      const std::lock_guard lock(mutex_);
      const std::uint64_t done = result_.completed + result_.failed + result_.refused;
      share = std::max(share, static_cast<double>(done) / static_cast<double>(limit_.requests));
    }
    return std::min(share, 1.0);
  }

  void count_failure(const Error& error) {
    ++result_.failed;
    if (!result_.first_error) result_.first_error = error;
  }

  const Engine& engine_;
  LoadLimit limit_;
  EngineStats before_;
  Clock::time_point began_{};
  Clock::time_point until_ = Clock::time_point::max();
  Clock::time_point look_again_{};
  std::atomic<std::uint64_t> offered_{0};
  std::mutex mutex_;  // of all below
  std::set<Stream*> running_;
  Clock::time_point last_end_{};
  LoadResult result_;
};

/// One client of a closed loop.
void keep_asking(Engine& engine, const LoadShape& shape, const LoadKey& key, std::size_t key_index,
                 LoadMeter& meter) {
  while (const auto number = meter.next_request()) {
    GenerationRequest request = load_request(shape, *number);
    request.client_key = key.name;
    const auto asked = Clock::now();
    auto attempt = asked;
    Result<Stream> stream = engine.open_stream(request);
    while (!stream && stream.error().code == Errc::queue_full) {
      meter.refused(attempt);
      const milliseconds wait(std::max<std::uint32_t>(1, stream.error().retry_after_ms));
      if (!meter.wait_until(Clock::now() + wait, [] {})) return meter.withdrawn();
      attempt = Clock::now();
      stream = engine.open_stream(request);
    }
    if (stream) {
      meter.read(*stream, asked, key_index);
    } else {
      meter.failed(stream.error());
    }
  }
}

/// Reads the streams of an open loop to their ends. Within a key requests are answered in the order in which
/// they came, so it is enough that the oldest are read, somewhat more than can run at once: a thread for each
/// that waits in a long queue would be a load of its own.
class Readers {
 public:
  Readers(LoadMeter& meter, std::size_t keys, std::size_t threads_per_key) : meter_(meter), jobs_(keys) {
    try {
      for (std::size_t key = 0; key < keys; ++key) {
        for (std::size_t i = 0; i < threads_per_key; ++i) threads_.emplace_back([this, key] { work(key); });
      }
    } catch (...) {
      finish();  // those that were started
      throw;
    }
  }
  ~Readers() { finish(); }
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  void read(Stream stream, Clock::time_point asked, std::size_t key) {
    {
      const std::lock_guard lock(mutex_);
      jobs_[key].push_back({std::move(stream), asked});
      ++unfinished_;
    }
    changed_.notify_all();
  }

  bool busy() {
    const std::lock_guard lock(mutex_);
    return unfinished_ != 0;
  }

 private:
  struct Job {
    Stream stream;
    Clock::time_point asked;
  };

  void finish() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  void work(std::size_t key) {
    std::deque<Job>& jobs = jobs_[key];
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [&] { return over_ || !jobs.empty(); });
      if (jobs.empty()) return;
      Job job = std::move(jobs.front());
      jobs.pop_front();
      lock.unlock();
      meter_.read(job.stream, job.asked, key);
      lock.lock();
      --unfinished_;
    }
  }

  LoadMeter& meter_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<Job>> jobs_;  // by key, those that no thread reads yet
  std::size_t unfinished_ = 0;
  bool over_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

GenerationRequest load_request(const LoadShape& shape, std::uint64_t number) {
  GenerationRequest request;
  std::vector<Token> prompt(shape.prompt_tokens);
  for (std::size_t i = 0; i < prompt.size(); ++i) {
    const std::uint64_t position = number * shape.prompt_tokens + i;
    prompt[i] = static_cast<Token>(uniform_at(shape.seed, position) * shape.vocab);
  }
  request.prompt = std::move(prompt);
  request.options.sampling = shape.sampling;
  request.options.sampling.seed = shape.seed + number;
  request.options.max_tokens = shape.max_tokens;
  request.options.ignore_eos = true;
  return request;
}

LoadResult run_closed_loop(Engine& engine, const LoadShape& shape, const std::vector<LoadKey>& keys,
                           const LoadLimit& limit, const LoadProgress& progress) {
  LoadMeter meter(engine, keys, limit);
  std::atomic<std::size_t> running{0};
  std::vector<std::jthread> clients;  // also joined when one cannot be started
  meter.begin();
  for (std::size_t k = 0; k < keys.size(); ++k) {
    for (std::uint32_t i = 0; i < keys[k].clients; ++i) {
      ++running;
      clients.emplace_back([&, k] {
        keep_asking(engine, shape, keys[k], k, meter);
        --running;
      });
    }
  }
  while (running != 0) {
    progress(meter.look());
    std::this_thread::sleep_for(milliseconds(5));
  }
  for (std::jthread& client : clients) client.join();
  return std::move(meter).finish();
}

LoadResult run_open_loop(Engine& engine, const LoadShape& shape, const std::vector<LoadKey>& keys,
                         double rate_per_s, const LoadLimit& limit, const LoadProgress& progress) {
  LoadMeter meter(engine, keys, limit);
  {
    Readers readers(meter, keys.size(), open_loop_threads(engine.options().pool_max));
    meter.begin();
    auto due = meter.began();
    while (const auto number = meter.next_request()) {
      GenerationRequest request = load_request(shape, *number);
      const std::size_t key = *number % keys.size();
      request.client_key = keys[key].name;
      const double wait_s = -std::log1p(-uniform_at(shape.seed ^ arrivals_stream, *number)) / rate_per_s;
      due += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(wait_s));
      if (!meter.wait_until(due, [&] { progress(meter.look()); })) {
        meter.withdrawn();
        break;
      }
      Result<Stream> stream = engine.open_stream(request);
      if (stream) {
        readers.read(*std::move(stream), due, key);
      } else if (stream.error().code == Errc::queue_full) {
        meter.refused(due);
      } else {
        meter.failed(stream.error());
      }
    }
    while (readers.busy()) {
      progress(meter.look());
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  return std::move(meter).finish();
}

}  // namespace troupe::tools
