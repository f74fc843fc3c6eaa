// Opening models: progress, giving up, and on a thread of its own.

#include <future>
#include <stop_token>
#include <thread>

#include "formats/gguf_writer.hpp"
#include "model/model_parts.hpp"
#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "support/temporary_folder.hpp"
#include "support/toy_model.hpp"

using namespace troupe;
using namespace troupe::test;

namespace {

std::filesystem::path toy_file(const TemporaryFolder& folder) {
  const Checkpoint toy = toy_checkpoint();
  const auto path = folder.path() / "toy.gguf";
  REQUIRE(write_gguf(path, toy.metadata, toy.tensors));
  return path;
}

}  // namespace

TEST_CASE("progress goes from 0 to 1 and never back", "[model]") {
  const TemporaryFolder folder;
  std::vector<double> shares;
  REQUIRE(Model::open(toy_file(folder), {}, [&](double share) {
    shares.push_back(share);
    return true;
  }));
  REQUIRE(shares.size() >= 4);  // at least: before, two layers, the end
  CHECK(shares.front() == 0);
  CHECK(shares.back() == 1);
  CHECK(std::is_sorted(shares.begin(), shares.end()));
}

TEST_CASE("loading is given up at whatever progress call says so", "[model]") {
  const TemporaryFolder folder;
  const auto path = toy_file(folder);
  int calls = 0;
  REQUIRE(Model::open(path, {}, [&](double) { return ++calls > 0; }));
  for (int last = 1; last <= calls; ++last) {
    int seen = 0;
    const auto model = Model::open(path, {}, [&](double) { return ++seen < last; });
    REQUIRE_FALSE(model);
    CHECK(model.error().code == Errc::cancelled);
    CHECK(seen == last);
  }
}

TEST_CASE("a model opens on a thread of its own, with progress there", "[model]") {
  const TemporaryFolder folder;
  std::atomic<int> calls = 0;
  std::atomic<bool> elsewhere = true;
  const auto here = std::this_thread::get_id();
  auto future = Model::open_async(toy_file(folder), {}, [&](double) {
    ++calls;
    if (std::this_thread::get_id() == here) elsewhere = false;
    return true;
  });
  const auto model = future.get();
  if (!model) FAIL(model.error().message);
  CHECK((*model)->info().name == "toy");
  CHECK(calls >= 4);
  CHECK(elsewhere);
}

TEST_CASE("a model's name is fit for one line wherever it is shown", "[model]") {
  const TemporaryFolder folder;
  const Checkpoint toy = toy_checkpoint();
  Metadata metadata;
  metadata.insert("general.name", std::string("\x1b[31mred\xff\nname"));
  for (const auto& [key, value] : toy.metadata) metadata.insert(key, value);
  REQUIRE(write_gguf(folder.path() / "toy.gguf", metadata, toy.tensors));
  const auto model = Model::open(folder.path() / "toy.gguf");
  if (!model) FAIL(model.error().message);
  CHECK((*model)->info().name == "\\x1b[31mred\\xff\\nname");
}

TEST_CASE("loading in the background is cancelled from outside while it runs", "[model]") {
  const TemporaryFolder folder;
  std::stop_source stop;
  std::promise<void> begun;
  std::promise<void> go_on;
  auto may_go_on = go_on.get_future().share();
  std::atomic<int> calls = 0;
  auto future = Model::open_async(
      toy_file(folder), {},
      [&, may_go_on](double) {
        if (++calls == 2) begun.set_value(), may_go_on.wait();
        return true;
      },
      stop.get_token());
  begun.get_future().wait();
  stop.request_stop();
  go_on.set_value();
  const auto model = future.get();
  REQUIRE_FALSE(model);
  CHECK(model.error().code == Errc::cancelled);
  CHECK(calls == 2);
}

TEST_CASE("a stop that was requested before leaves the file alone, and progress may be left out", "[model]") {
  std::stop_source stop;
  stop.request_stop();
  const auto cancelled = Model::open_async("/nowhere/model.gguf", {}, {}, stop.get_token()).get();
  REQUIRE_FALSE(cancelled);
  CHECK(cancelled.error().code == Errc::cancelled);
  const auto missing = Model::open_async("/nowhere/model.gguf").get();
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == Errc::io);
  CHECK_HAS(missing.error().message, "/nowhere/model.gguf");
}
