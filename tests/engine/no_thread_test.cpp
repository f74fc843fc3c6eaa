// A machine that has no thread to give to a batcher: the company waits for one, and ends in order.

#include <pthread.h>

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <thread>

#include "engine/company.hpp"
#include "engine/company_load.hpp"
#include "support/catch.hpp"
#include "support/toy_model.hpp"
#include "troupe/engine.hpp"

using namespace troupe;
using namespace std::chrono_literals;

namespace {

/// While it lives, new threads ask for a stack that no machine has, and are refused.
class NoThreads {
 public:
  NoThreads() {
    pthread_getattr_default_np(&before_);
    pthread_attr_t vast = before_;
    REQUIRE(pthread_attr_setstacksize(&vast, std::size_t{1} << 60) == 0);
    REQUIRE(pthread_setattr_default_np(&vast) == 0);
  }
  ~NoThreads() {
    pthread_setattr_default_np(&before_);
    pthread_attr_destroy(&before_);
  }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  pthread_attr_t before_;
};

}  // namespace

TEST_CASE("an engine that gets no threads is refused, and its process goes on", "[engine]") {
  const auto model = test::toy_model();
  for (const std::uint32_t threads : {1, 2}) {
    EngineOptions options;
    options.threads = threads;
    {
      const NoThreads none;
      const auto refused = Engine::start(model, options);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code == Errc::io);
      CHECK(refused.error().message.find("fewer") != std::string::npos);
    }
    CHECK(Engine::start(model, options));
  }
}

TEST_CASE("a batcher that gets no thread is started later, and the company ends as ever", "[engine]") {
  EngineOptions options;
  options.step_stall_ms_max = 2000;
  const auto company = make_company(test::toy_model(), options);
  REQUIRE(company);
  const auto config = test::sharing_config();
  caf::actor_system system(*config);
  RouterActor router;
  {
    const NoThreads none;
    router = spawn_company(system, *company, false);
    while (company->counters->restarts < 3) std::this_thread::sleep_for(1ms);
  }
  const auto work = std::make_shared<Work>();
  work->prompt = {5, 6, 7};
  work->options.max_tokens = 20;
  work->options.ignore_eos = true;
  CHECK(test::answers_of(system, router, {work}).front().size() == 20);
  router = nullptr;
  CHECK(await_end(system, *company->counters, options.step_stall_ms_max));
}
