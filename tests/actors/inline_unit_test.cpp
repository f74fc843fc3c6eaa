// Actors that run on the thread of the one who wakes them.

#include "actors/inline_unit.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using namespace troupe;

namespace {

using Lines = std::vector<std::string>;

std::string thread_name() {
  return std::to_string(std::hash<std::thread::id>()(std::this_thread::get_id()));
}

/// Answers each number with a line to `boss`, which tells the number and the thread.
caf::behavior receiver(caf::event_based_actor* self, const caf::actor& boss) {
  return {[self, boss](int number) { self->send(boss, std::to_string(number) + " on " + thread_name()); }};
}

}  // namespace

TEST_CASE("receivers run on the sender's thread, one after the other, before it goes on", "[actors]") {
  caf::actor_system_config config;
  caf::actor_system system(config);
  caf::scoped_actor reader(system);
  const caf::actor boss(reader);
  // Lazy: idle from the start.
  const auto first = system.spawn<caf::lazy_init>(receiver, boss);
  const auto second = system.spawn<caf::lazy_init>(receiver, boss);
  system.spawn<caf::detached>([=](caf::event_based_actor* self) {
    InlineUnit unit(self->system());
    for (int round = 0; round < 3; ++round) {
      const WokenActors woken = unit.run(*self, [&] {
        self->send(second, 10 * round + 1);
        self->send(first, 10 * round + 2);
        self->send(second, 10 * round + 3);  // it was woken already
      });
      CHECK(woken.empty());  // the reader is no actor that waits for a thread
      self->send(boss, "round " + std::to_string(round) + " on " + thread_name());
    }
  });
  Lines lines;
  for (int i = 0; i < 12; ++i) reader->receive([&](std::string& line) { lines.push_back(std::move(line)); });
  const std::string here = lines[3].substr(lines[3].find(" on "));
  for (int round = 0; round < 3; ++round) {
    const auto line = [&](int i) { return lines[static_cast<std::size_t>(4 * round + i)]; };
    CHECK(line(0) == std::to_string(10 * round + 1) + here);
    CHECK(line(1) == std::to_string(10 * round + 3) + here);
    CHECK(line(2) == std::to_string(10 * round + 2) + here);
    CHECK(line(3) == "round " + std::to_string(round) + here);
  }
}

TEST_CASE("a receiver that throws ends alone, and one with much to do goes on elsewhere", "[actors]") {
  caf::actor_system_config config;
  caf::actor_system system(config);
  caf::scoped_actor reader(system);
  const caf::actor boss(reader);
  const auto careless = system.spawn<caf::lazy_init>([](caf::event_based_actor* self) -> caf::behavior {
    self->set_exception_handler([](std::exception_ptr&) { return caf::error(caf::sec::runtime_error); });
    return {[](int) { throw std::runtime_error("careless"); }};
  });
  reader->monitor(careless);
  const auto busy = system.spawn<caf::lazy_init>(receiver, boss);
  system.spawn<caf::detached>([=](caf::event_based_actor* self) {
    InlineUnit unit(self->system());
    leave_to_workers(self->system(), unit.run(*self, [&] {
      self->send(careless, 1);
      for (int i = 0; i < 100; ++i) self->send(busy, i);
    }));
  });
  int answers = 0, ends = 0;
  while (answers < 100 || ends < 1) {
    reader->receive(
        [&](const std::string& line) {
          CHECK(line.substr(0, line.find(' ')) == std::to_string(answers));
          ++answers;
        },
        [&](const caf::down_msg& m) {
          CHECK(m.source == careless.address());
          ++ends;
        });
  }
}

TEST_CASE("whom the receivers wake can be run on another thread, and whom those wake as well", "[actors]") {
  caf::actor_system_config config;
  caf::actor_system system(config);
  caf::scoped_actor reader(system);
  const caf::actor boss(reader);
  const auto last = system.spawn<caf::lazy_init>(receiver, boss);
  const auto middle = system.spawn<caf::lazy_init>([=](caf::event_based_actor* self) -> caf::behavior {
    return {[=](int number) {
      self->send(boss, "passed on by " + thread_name());
      self->send(last, number);
    }};
  });
  const auto first = system.spawn<caf::lazy_init>([=](caf::event_based_actor* self) -> caf::behavior {
    return {[=](int number) { self->send(middle, number); }};
  });
  std::string other;
  system.spawn<caf::detached>([&](caf::event_based_actor* self) {
    InlineUnit unit(self->system());
    const WokenActors woken = unit.run(*self, [&] {
      self->send(first, 1);
      self->send(first, 2);
    });
    CHECK(woken.size() == 1);
    std::thread thread([&] {
      other = thread_name();
      run_woken(self->system(), woken);
    });
    thread.join();
    self->send(boss, "done");
  });
  Lines lines;
  for (int i = 0; i < 5; ++i) reader->receive([&](std::string& line) { lines.push_back(std::move(line)); });
  CHECK(lines ==
        Lines{"passed on by " + other, "passed on by " + other, "1 on " + other, "2 on " + other, "done"});
}
