#include <algorithm>
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/check_has.hpp"
#include "train/network.hpp"
#include "train/optimizer.hpp"
#include "train/texts.hpp"
#include "train/trainer.hpp"

using namespace troupe;
using namespace troupe::train;
using namespace troupe::test;

namespace {

/// Runs until the end, or until `stop_after` steps are done.
TrainSummary run(const TrainOptions& options, unsigned threads = 1, std::uint64_t stop_after = 0) {
  ThreadPool pool(threads);
  auto trainer = Trainer::create(options, pool);
  if (!trainer) FAIL(trainer.error().message);
  std::uint64_t steps = 0;
  const auto summary = (*trainer)->run([&](const Progress& p) { steps = p.step; },
                                       [&] { return stop_after != 0 && steps + 1 >= stop_after; });
  if (!summary) FAIL(summary.error().message);
  return *summary;
}

std::string model_bytes(const TrainOptions& o) {
  return TemporaryFolder::read(o.out);
}
std::string state_bytes(const TrainOptions& o) {
  return TemporaryFolder::read(state_path(o.out));
}

Error refusal(const TrainOptions& options) {
  ThreadPool pool(1);
  const auto trainer = Trainer::create(options, pool);
  REQUIRE_FALSE(trainer);
  return trainer.error();
}

std::string refusal(const TrainOptions& options, Errc code) {
  const Error error = refusal(options);
  CHECK(error.code == code);
  return error.message;
}

/// Learns 2 kB by heart, all of it in each step; the loss at the end.
double overfit(Style style) {
  const TemporaryFolder folder;
  const std::string text = verses(40);
  REQUIRE(text.size() > 2048);
  const std::filesystem::path path = folder.file("text.txt", text.substr(0, 2048));
  ModelShape shape;
  shape.style = style;
  shape.layers = 2, shape.width = 64, shape.heads = shape.kv_heads = 4, shape.ffn = 128, shape.context = 125;
  std::vector<Token> tokens;
  for (const char c : TemporaryFolder::read(path)) tokens.push_back(static_cast<unsigned char>(c));
  shape.vocab = 256;
  const std::size_t time = shape.context, windows = (tokens.size() - 1) / time;
  ThreadPool pool(2);
  Network network(shape, windows, pool);
  std::vector<float> parameters(network.layout().count), gradients(parameters.size());
  initialize(network.layout(), 1, parameters.data());
  AdamOptions adam;
  adam.decay = 0;
  Optimizer optimizer(network.layout(), adam, pool);
  Schedule schedule;
  schedule.rate = 0.01, schedule.warmup_steps = 10, schedule.steps = 250, schedule.rate_min = 0.001;
  double loss = 10;
  const std::span<const Token> all(tokens);
  const WindowBatch batch{all.first(windows * time), all.subspan(1, windows * time), windows, time};
  for (std::uint64_t step = 0; step < schedule.steps && loss >= 0.045; ++step) {
    std::fill(gradients.begin(), gradients.end(), 0.0f);
    loss = network.backward(parameters.data(), batch, 1, {}, gradients.data());
    REQUIRE(
        std::isfinite(optimizer.update(parameters.data(), gradients.data(), step, rate_at(schedule, step))));
  }
  return network.loss(parameters.data(), batch);
}

}  // namespace

TEST_CASE("a llama-style model of two layers learns 2 kB of text by heart", "[train]") {
  CHECK(overfit(Style::llama) < 0.05);
}

TEST_CASE("a gpt2-style model of two layers learns 2 kB of text by heart", "[train]") {
  CHECK(overfit(Style::gpt2) < 0.05);
}

TEST_CASE("a run that was stopped and resumed ends with the bytes of one that was not", "[train]") {
  for (const Style style : {Style::llama, Style::gpt2}) {
    const TemporaryFolder folder;
    TrainOptions whole = quick_run(folder, "whole"), parts = quick_run(folder, "parts");
    whole.shape.style = parts.shape.style = style;
    parts.log = folder.path() / "log.csv";
    const TrainSummary straight = run(whole);
    CHECK_FALSE(straight.stopped);
    CHECK(straight.steps == 12);

    const TrainSummary first = run(parts, 1, 5);
    CHECK(first.stopped);
    CHECK(first.steps == 5);
    CHECK(model_bytes(parts) != model_bytes(whole));
    parts.resume = true;
    const TrainSummary rest = run(parts);
    CHECK_FALSE(rest.stopped);
    CHECK(rest.steps == 12);
    CHECK(rest.validation_best == straight.validation_best);
    CHECK((model_bytes(parts) == model_bytes(whole)));
    CHECK((state_bytes(parts) == state_bytes(whole)));

    const std::string log = TemporaryFolder::read(parts.log);
    CHECK(std::count(log.begin(), log.end(), '\n') == 13);  // the heading and each step once
    CHECK_HAS(log, "\n5,480,");
    CHECK_HAS(log, "\n6,576,");
  }
}

TEST_CASE("the number of threads changes no byte of model and state", "[train]") {
  const TemporaryFolder folder;
  const TrainOptions one = quick_run(folder, "one"), two = quick_run(folder, "two");
  const TrainOptions three = quick_run(folder, "three");
  run(one, 1), run(two, 2), run(three, 3);
  CHECK((model_bytes(one) == model_bytes(two)));
  CHECK((model_bytes(one) == model_bytes(three)));
  CHECK((state_bytes(one) == state_bytes(two)));
  CHECK((state_bytes(one) == state_bytes(three)));
}

TEST_CASE("another seed gives another model", "[train]") {
  const TemporaryFolder folder;
  const TrainOptions one = quick_run(folder, "one");
  TrainOptions other = quick_run(folder, "other");
  other.seed = 2;
  run(one), run(other);
  CHECK((model_bytes(one) != model_bytes(other)));
}

TEST_CASE("a loss that is no longer finite ends the run with an explanation", "[train]") {
  const TemporaryFolder folder;
  TrainOptions options = quick_run(folder, "hot");
  options.schedule.rate = 1e30, options.schedule.rate_min = 0, options.schedule.warmup_steps = 0;
  options.schedule.kind = ScheduleKind::constant;
  ThreadPool pool(1);
  auto trainer = Trainer::create(options, pool);
  REQUIRE(trainer);
  const auto summary = (*trainer)->run([](const Progress&) {}, [] { return false; });
  REQUIRE_FALSE(summary);
  CHECK(summary.error().code == Errc::fault);
  CHECK_HAS(summary.error().message, "no longer a finite number in step");
  CHECK_HAS(summary.error().message, "--learning-rate");
}

TEST_CASE("a training state that is cut off, damaged or of another run is refused", "[train]") {
  const TemporaryFolder folder;
  TrainOptions options = quick_run(folder, "run");
  options.schedule.steps = 4;
  run(options);
  options.resume = true;
  const std::string good = state_bytes(options);
  REQUIRE(good.size() > 10000);
  const auto replace = [&](const std::string& bytes) { folder.file("run.gguf.state", bytes); };

  for (const double share : {0.0, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.999}) {
    replace(good.substr(0, static_cast<std::size_t>(static_cast<double>(good.size()) * share)));
    INFO("cut to " << share);
    CHECK_HAS(refusal(options).message, "run.gguf.state");
  }
  std::string damaged = good;
  damaged[good.size() / 2] = static_cast<char>(damaged[good.size() / 2] ^ 4);
  replace(damaged);
  CHECK_HAS(refusal(options, Errc::bad_file), "checksum");
  // Every kind of damage near the head: an error or, where it hits a name that nothing reads, a run.
  for (std::size_t at = 0; at < 1500; at += 7) {
    damaged = good;
    damaged[at] = static_cast<char>(damaged[at] ^ 0xFF);
    replace(damaged);
    ThreadPool pool(1);
    const auto trainer = Trainer::create(options, pool);
    if (!trainer) CHECK_FALSE(trainer.error().message.empty());
  }
  replace(model_bytes(options));
  CHECK_HAS(refusal(options, Errc::bad_file), "troupe.train.recipe");
  replace(good);
  options.seed = 77;
  const std::string other = refusal(options, Errc::bad_argument);
  CHECK_HAS(other, "seed=1 ");
  CHECK_HAS(other, "seed=77 ");
  std::filesystem::remove(state_path(options.out));
  CHECK_HAS(refusal(options, Errc::io), "run.gguf.state");
}

TEST_CASE("a longer schedule may be given to a resumed run", "[train]") {
  const TemporaryFolder folder;
  TrainOptions options = quick_run(folder, "run");
  options.schedule.steps = 4;
  run(options);
  options.schedule.steps = 6;
  options.resume = true;
  CHECK(run(options).steps == 6);
}
