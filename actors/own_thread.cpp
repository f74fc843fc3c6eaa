#include "actors/own_thread.hpp"

#include <latch>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace troupe {

void require_threads(std::size_t count) {
  std::latch all(1);
  std::vector<std::thread> threads;
  threads.reserve(count);
  const auto end = [&] {
    all.count_down();
    for (std::thread& thread : threads) thread.join();
  };
  try {
    while (threads.size() < count) threads.emplace_back([&all] { all.wait(); });
  } catch (const std::system_error& error) {
    end();
    throw std::system_error(error.code(),
                            "the system gives no more than " + std::to_string(threads.size()) + " of " +
                                std::to_string(count) +
                                " threads for actors; ask for fewer threads, or raise its limit");
  }
  end();
}

}  // namespace troupe
