#include "tools/load.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/memory.hpp"
#include "base/random.hpp"
#include "tools/signals.hpp"

namespace troupe::tools {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds poll_interval(100);    // how soon a reader notices that the program is to stop
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

/// Collects what the clients of one run see. Thread-safe, but for begin() and finish().
class LoadMeter {
 public:
  LoadMeter(const std::vector<LoadKey>& keys, const LoadLimit& limit) : limit_(limit) {
    result_.key_tokens_in_time.resize(keys.size());
    if (!limit.time) return;
    constexpr std::size_t tokens = 1U << 21, requests = 1U << 16, refusals = 1U << 18;
    provide(result_.inter_token_ms, tokens);
    provide(result_.refusal_ms, refusals);
    for (auto* values : {&result_.queue_ms, &result_.ttft_ms, &result_.e2e_ms}) provide(*values, requests);
  }

  void begin() {
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

  void refused(Clock::time_point asked) {
    const float took = ms_between(asked, Clock::now());
    const std::lock_guard lock(mutex_);
    ++result_.refused;
    result_.refusal_ms.push_back(took);
  }

  void failed(const Error& error) {
    const std::lock_guard lock(mutex_);
    count_failure(error);
  }

  /// Reads the stream to its end.
  void read(Stream& stream, Clock::time_point asked, std::size_t key) {
    std::vector<float> gaps;
    std::optional<Clock::time_point> first;
    Clock::time_point last = asked;
    std::uint64_t tokens_in_time = 0;
    bool cancelled = false;
    while (true) {
      bool timed_out = false;
      const std::optional<TokenEvent> event = stream.next_for(poll_interval, timed_out);
      if (!cancelled && stop_requested()) {
        cancelled = true;
        stream.cancel();
      }
      if (!event && !timed_out) break;
      if (!event || event->token == no_token) continue;
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

  /// What there is to do a few times a second: the share that is done, and a look at the memory.
  double look() {
    const auto now = Clock::now();
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
    auto to = std::min(last_end_, until_);
    if (stop_requested()) {
      to = std::min(Clock::now(), until_);
    } else if (limit_.time && offered_ < limit_.requests) {
      to = until_;  // the time ended it
    }
    result_.duration_s = std::chrono::duration<double>(to - began_).count();
    for (auto* values : {&result_.queue_ms, &result_.ttft_ms, &result_.e2e_ms, &result_.inter_token_ms,
                         &result_.refusal_ms})
      values->shrink_to_fit();
    return std::move(result_);
  }

 private:
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

  LoadLimit limit_;
  Clock::time_point began_{};
  Clock::time_point until_ = Clock::time_point::max();
  Clock::time_point look_again_{};
  std::atomic<std::uint64_t> offered_{0};
  std::mutex mutex_;
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
    while (!stream && stream.error().code == Errc::queue_full && !stop_requested()) {
      meter.refused(attempt);
      std::this_thread::sleep_for(milliseconds(std::max<std::uint32_t>(1, stream.error().retry_after_ms)));
      attempt = Clock::now();
      stream = engine.open_stream(request);
    }
    if (stream) {
      meter.read(*stream, asked, key_index);
    } else if (!stop_requested()) {
      meter.failed(stream.error());
    }
  }
}

/// Threads that read streams to their ends: as many as there ever are streams at once.
class Readers {
 public:
  explicit Readers(LoadMeter& meter) : meter_(meter) {}
  ~Readers() { finish(); }
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  void read(Stream stream, Clock::time_point asked, std::size_t key) {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(stream), asked, key});
    if (jobs_.size() > idle_) threads_.emplace_back([this] { work(); });
    changed_.notify_one();
  }

  std::size_t busy() {
    const std::lock_guard lock(mutex_);
    return threads_.size() - idle_ + jobs_.size();
  }

  void finish() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  struct Job {
    Stream stream;
    Clock::time_point asked;
    std::size_t key;
  };

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      ++idle_;
      changed_.wait(lock, [this] { return over_ || !jobs_.empty(); });
      --idle_;
      if (jobs_.empty()) return;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      meter_.read(job.stream, job.asked, job.key);
      lock.lock();
    }
  }

  LoadMeter& meter_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::size_t idle_ = 0;  // threads that wait for a job, or are about to
  bool over_ = false;
  std::vector<std::thread> threads_;  // of the one thread that calls read() and finish()
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
  LoadMeter meter(keys, limit);
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
  LoadMeter meter(keys, limit);
  {
    Readers readers(meter);
    meter.begin();
    auto due = meter.began();
    while (const auto number = meter.next_request()) {
      GenerationRequest request = load_request(shape, *number);
      const std::size_t key = *number % keys.size();
      request.client_key = keys[key].name;
      const double wait_s = -std::log1p(-uniform_at(shape.seed ^ arrivals_stream, *number)) / rate_per_s;
      due += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(wait_s));
      for (auto now = Clock::now(); now < due && !stop_requested(); now = Clock::now()) {
        progress(meter.look());
        std::this_thread::sleep_until(std::min(due, now + poll_interval));
      }
      Result<Stream> stream = engine.open_stream(request);
      if (stream) {
        readers.read(*std::move(stream), due, key);
      } else if (stream.error().code == Errc::queue_full) {
        meter.refused(due);
      } else if (!stop_requested()) {
        meter.failed(stream.error());
      }
    }
    while (readers.busy() != 0) {
      progress(meter.look());
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  return std::move(meter).finish();
}

}  // namespace troupe::tools
