#include "kernels/thread_pool.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "kernels/cpu_quota.hpp"
#include "kernels/parallel_runs.hpp"
#include "support/catch.hpp"

using namespace troupe;
namespace fs = std::filesystem;

TEST_CASE("parallel_for calls the body once for every index, and so does parallel_runs",
          "[kernels][threads]") {
  for (const unsigned threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool(threads);
    REQUIRE(pool.threads() == threads);
    for (const std::size_t count : {0, 1, 2, 7, 100, 1000}) {
      std::vector<std::atomic<int>> calls(count);
      std::atomic<bool> workers_known{true};
      pool.parallel_for(count, [&](std::size_t index, unsigned worker) {
        calls[index].fetch_add(1);
        if (worker >= threads) workers_known = false;
      });
      parallel_runs(pool, count, [&](std::size_t index) { calls[index].fetch_add(1); });
      CHECK(workers_known);
      for (const auto& n : calls) REQUIRE(n == 2);
    }
  }
}

TEST_CASE("the rest of a run is taken by others when its thread is held up", "[kernels][threads]") {
  ThreadPool pool(2);
  std::vector<std::thread::id> taken_by(100);
  std::atomic<std::size_t> taken{0};
  parallel_runs(pool, taken_by.size(), [&](std::size_t index) {
    taken_by[index] = std::this_thread::get_id();
    // The first index of the first run ends last: without help this would not end.
    while (index == 0 && taken.load() + 1 < taken_by.size()) std::this_thread::yield();
    taken.fetch_add(1);
  });
  for (std::size_t i = 1; i < taken_by.size() / 2; ++i) CHECK(taken_by[i] != taken_by[0]);
}

TEST_CASE("what the body wrote is seen after parallel_for, over many short operations",
          "[kernels][threads]") {
  for (const unsigned threads : {2u, 3u, 6u}) {
    ThreadPool pool(threads);
    std::vector<std::size_t> values(64);  // plain memory: a missing fence is a data race that TSan reports
    std::size_t expected = 0;
    for (std::size_t round = 1; round <= 20000; ++round) {
      const std::size_t count = round % 64 + 1;
      pool.parallel_for(count, [&](std::size_t index, unsigned) { values[index] += round; });
      expected += count * round;
    }
    std::size_t sum = 0;
    for (const std::size_t value : values) sum += value;
    CHECK(sum == expected);
  }
}

TEST_CASE("workers that fell asleep wake for the next operation", "[kernels][threads]") {
  ThreadPool pool(3);
  for (int round = 0; round < 30; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(round % 3));
    // Every index waits until another thread has one too: without a second thread this would not end.
    std::atomic<int> here{0};
    pool.parallel_for(2, [&](std::size_t, unsigned) {
      here.fetch_add(1);
      while (here.load() < 2) std::this_thread::yield();
    });
    CHECK(here == 2);
  }
}

TEST_CASE("a job aside runs once, on a worker, between operations and beside them", "[kernels][threads]") {
  for (const unsigned threads : {2u, 3u}) {
    std::atomic<int> jobs{0}, elsewhere{0};
    std::atomic<std::size_t> indices{0};
    {
      ThreadPool pool(threads);
      for (int round = 0; round < 2000; ++round) {
        if (round % 500 == 0)
          std::this_thread::sleep_for(std::chrono::milliseconds(2));  // workers fall asleep
        while (!pool.aside([&, caller = std::this_thread::get_id()] {
          elsewhere += std::this_thread::get_id() != caller;
          ++jobs;
        }))
          std::this_thread::yield();  // the worker is at the one before
        if (round % 3 != 0) pool.parallel_for(10, [&](std::size_t, unsigned) { ++indices; });
      }
      while (jobs != 2000) std::this_thread::yield();  // without being asked for anything else
      CHECK(elsewhere == 2000);
      while (!pool.aside([&] { ++jobs; })) std::this_thread::yield();
    }
    CHECK(jobs == 2001);  // the end of the pool loses none
    CHECK(indices == 10 * 1333);
  }
  CHECK_FALSE(ThreadPool(1).aside([] {}));
}

TEST_CASE("a job aside holds up no operation, and may destroy its pool", "[kernels][threads]") {
  auto pool = std::make_shared<ThreadPool>(2);
  std::atomic<bool> go_on{false}, over{false};
  pool->aside([&, own = pool]() mutable {
    while (!go_on) std::this_thread::yield();
    own.reset();
    over = true;
  });
  CHECK_FALSE(pool->aside([] {}));  // it would wait for the first
  std::atomic<int> calls{0};
  pool->parallel_for(100, [&](std::size_t, unsigned) { ++calls; });
  CHECK(calls == 100);
  CHECK_FALSE(over);
  pool.reset();
  go_on = true;
  while (!over) std::this_thread::yield();
}

TEST_CASE("a pool that never worked, works until now, or sleeps, can be destroyed", "[kernels][threads]") {
  for (int i = 0; i < 1000; ++i) {
    ThreadPool unused(4);
    ThreadPool used(2);
    // Of different lengths, so that the workers are met in all states between waking and sleeping.
    std::atomic<int> sum{0};
    for (int round = 0; round < i % 4; ++round)
      used.parallel_for(1 + i % 7, [&](std::size_t, unsigned) {
        for (int work = 0; work < i; ++work) sum.fetch_add(1, std::memory_order_relaxed);
      });
  }
  ThreadPool asleep(3);
  asleep.parallel_for(5, [](std::size_t, unsigned) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

TEST_CASE("a pool of 0 threads takes what this process may use", "[kernels][threads]") {
  ThreadPool pool(0);
  CHECK(pool.threads() == usable_threads());
  CHECK(usable_threads() >= 1);
}

namespace {

/// A directory that looks like /sys/fs/cgroup.
struct FakeMounts {
  fs::path root = fs::temp_directory_path() / ("troupe-cgroup-" + std::to_string(std::random_device()()));
  ~FakeMounts() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  void write(const fs::path& file, const std::string& text) const {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text << '\n';
  }
};

}  // namespace

TEST_CASE("the CPU quota of version 2 groups counts, the tightest on the way up", "[kernels][threads]") {
  const FakeMounts mounts;
  mounts.write("a/b/cpu.max", "max 100000");
  CHECK(quota_cpus(mounts.root, "0::/a/b\n") == 0);
  mounts.write("a/cpu.max", "350000 100000");
  CHECK(quota_cpus(mounts.root, "0::/a/b\n") == 3);
  mounts.write("cpu.max", "50000 100000");
  CHECK(quota_cpus(mounts.root, "0::/a/b\n") == 1);
  CHECK(quota_cpus(mounts.root, "0::/group/of/the/host\n") == 1);
}

TEST_CASE("the CPU quota of version 1 groups counts", "[kernels][threads]") {
  const FakeMounts mounts;
  mounts.write("cpu,cpuacct/box/cpu.cfs_quota_us", "-1");
  mounts.write("cpu,cpuacct/box/cpu.cfs_period_us", "100000");
  const std::string memberships = "5:memory:/box\n3:cpu,cpuacct:/box\n1:name=systemd:/\n";
  CHECK(quota_cpus(mounts.root, memberships) == 0);
  mounts.write("cpu,cpuacct/box/cpu.cfs_quota_us", "200000");
  CHECK(quota_cpus(mounts.root, memberships) == 2);
  CHECK(quota_cpus(mounts.root, "2:cpuset:/box\n") == 0);
}

TEST_CASE("unreadable group files limit nothing", "[kernels][threads]") {
  const FakeMounts mounts;
  mounts.write("cpu.max", "nonsense");
  CHECK(quota_cpus(mounts.root, "0::/\n") == 0);
  mounts.write("cpu.max", "1000 0");
  CHECK(quota_cpus(mounts.root, "0::/\n") == 0);
  CHECK(quota_cpus(mounts.root, "") == 0);
  CHECK(quota_cpus(mounts.root, "no colons here") == 0);
  CHECK(quota_cpus(mounts.root / "missing", "0::/\n") == 0);
}
