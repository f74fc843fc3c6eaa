// The command line of the endurance run.

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/log.hpp"
#include "endurance/runs.hpp"
#include "endurance/violation.hpp"
#include "support/toy_model.hpp"

using namespace troupe;

int main(int argc, char** argv) {
  CLI::App app(
      "Disturbs a troupe at work on its real threads, and holds its answers against an undisturbed run.");
  test::FaultRun faults;
  test::CancelRun cancels;
  std::string file;
  std::uint64_t seed = 1;
  app.add_option("--faults", faults.faults, "kill so many generators and batchers, and fail so many steps");
  app.add_option("--cancels", cancels.cancels, "cancel so many requests");
  app.add_flag("--default-budget", faults.default_budget, "restart as the engine does unless told otherwise");
  app.add_option("--model", file, "a model file; a small random one unless given");
  app.add_option("--seed", seed, "of the disturbances; threads make each run another all the same");
  CLI11_PARSE(app, argc, argv);
  set_log_level(LogLevel::off);  // the faults are on purpose
  faults.seed = cancels.seed = seed;
  std::shared_ptr<const Model> model;
  if (file.empty()) {
    test::ToyShape shape;
    shape.type = TensorType::q8_0;
    model = test::toy_model(shape);
  } else {
    auto opened = Model::open(file);
    if (!opened) test::violation(opened.error().message);
    model = *std::move(opened);
  }
  if (faults.faults != 0) test::run_faults(model, faults);
  if (cancels.cancels != 0) test::run_cancels(model, cancels);
  return 0;
}
