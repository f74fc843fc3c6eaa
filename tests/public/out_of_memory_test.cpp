// Requests that there is no memory for, at every door.

#include <boost/asio/bind_executor.hpp>

#include "public/asio_program.hpp"
#include "support/allocation_limit.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

constexpr std::size_t mebibyte = 1U << 20;

void check_too_large(const Result<Generation>& result) {
  REQUIRE_FALSE(result);
  CHECK(result.error().code == Errc::too_large);
  CHECK(result.error().message.find("out of memory") != std::string::npos);
}

/// The second has a prompt, and the third a key, that the limit below lets nobody copy.
std::vector<GenerationRequest> requests() {
  std::vector all(4, request("x", 2));
  all[1].prompt = std::string(4 * mebibyte, 'x');
  all[2].client_key = std::string(4 * mebibyte, 'k');
  return all;
}

}  // namespace

TEST_CASE("a request that there is no memory for is refused, and does not disturb its batch", "[engine]") {
  const auto engine = start();
  const auto all = requests();
  const AllocationLimit limit(mebibyte);
  check_too_large(engine->generate(all[1]).get());
  check_too_large(engine->generate(all[2]).get());
  CHECK(engine->open_stream(all[1]).error().code == Errc::too_large);
  const auto results = engine->batch(all);
  CHECK(results[0]);
  check_too_large(results[1]);
  check_too_large(results[2]);
  CHECK(results[3]);
}

TEST_CASE("an asynchronous request that there is no memory for is refused, and does not disturb its batch",
          "[asio]") {
  const auto engine = start();
  asio::io_context context;
  int called = 0;
  auto all = requests();
  auto alone = all[1];
  const AllocationLimit limit(mebibyte);
  async_generate(*engine, std::move(alone),
                 asio::bind_executor(context, [&](error_code code, const Answer& answer) {
                   ++called;
                   CHECK(code == Errc::too_large);
                   REQUIRE(answer.error);
                   CHECK(answer.error->message.find("out of memory") != std::string::npos);
                 }));
  async_batch(*engine, std::move(all), {},
              asio::bind_executor(context, [&](error_code code, const auto& results) {
                ++called;
                CHECK_FALSE(code);
                CHECK(results[0]);
                check_too_large(results[1]);
                check_too_large(results[2]);
                CHECK(results[3]);
              }));
  context.run();
  CHECK(called == 2);
}
