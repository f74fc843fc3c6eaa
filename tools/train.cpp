// troupe train: a small model of one's own from text.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "base/guard.hpp"
#include "base/try.hpp"
#include "tools/cli_options.hpp"
#include "tools/number_text.hpp"
#include "tools/open_model.hpp"
#include "tools/progress_bar.hpp"
#include "tools/same_file.hpp"
#include "tools/signals.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"
#include "tools/train_bench.hpp"
#include "train/trainer.hpp"

namespace troupe::tools {
namespace {

using train::TrainOptions;

constexpr std::uint32_t warmup_default = 200;
constexpr double unlimited = std::numeric_limits<double>::infinity();

/// What was given on the command line; dimensions that were not come from the preset.
struct TrainFlags {
  TrainOptions options;
  std::string size = "small";
  std::string style = "llama";
  std::uint32_t layers = 0, width = 0, heads = 0, kv_heads = 0, ffn = 0, context = 0;
  std::uint32_t batch = 12, accumulate = 1, steps = 5000, step_every = 1000;
  std::optional<std::uint32_t> warmup;
  std::uint32_t seed = 1, validate_every = 250, validation_windows = 128, save_every = 1000;
  std::uint32_t threads = 0;
  std::optional<double> rate_min;
  std::string out, log, curve, name;
  bool untied = false, no_curve = false, bench = false;
};

CommandLine::Take number(double& target, NumberRange range) {
  return [&target, range](std::string_view what, const std::string& value) -> Status {
    TROUPE_TRY(target, parse_number(what, value, range));
    return {};
  };
}

CommandLine::Take path_list(std::vector<std::filesystem::path>& target) {
  return [&target](std::string_view, const std::string& value) {
    target.emplace_back(value);
    return Status();
  };
}

Error unknown_value(std::string_view what, const std::string& value, const char* known) {
  return {Errc::bad_argument, std::string(what) + " is '" + value + "'; give " + known};
}

void declare_text(CommandLine& line, TrainFlags& f) {
  TrainOptions& o = f.options;
  line.group("Text");
  line.option("--data", "FILE", "text to train on; may be repeated. <|endoftext|> in it separates documents",
              path_list(o.data), CommandLine::Times::many);
  line.option("--validation", "FILE",
              "text that is held out; may be repeated. Default: the end of each --data file",
              path_list(o.validation), CommandLine::Times::many);
  line.option("--validation-share", "X",
              "how much of each --data file is held out without --validation (0.1)",
              number(o.validation_share, {0, 0.9, false}));
  line.option("--vocab", "KIND", "char: a token per character (default); bpe:N: N tokens of byte-level BPE",
              [&o](std::string_view what, const std::string& value) -> Status {
                auto vocabulary = train::parse_vocabulary(value);
                if (!vocabulary)
                  return Error{Errc::bad_argument, std::string(what) + ": " + vocabulary.error().message};
                o.vocabulary = *std::move(vocabulary);
                return {};
              });
}

void declare_model(CommandLine& line, TrainFlags& f) {
  line.group("Model");
  line.text("--style", "STYLE", "llama (default) or gpt2", f.style);
  line.text("--size", "NAME", "tiny (4 layers of 128), small (6 of 256, default) or medium (8 of 512)",
            f.size);
  constexpr std::uint32_t dimension_max = 1U << 20;
  line.whole("--layers", "layers, instead of the preset's", 1, dimension_max, f.layers);
  line.whole("--width", "width of the residual stream", 1, dimension_max, f.width);
  line.whole("--heads", "attention heads", 1, dimension_max, f.heads);
  line.whole("--kv-heads", "heads of keys and values; default: as many as heads", 1, dimension_max,
             f.kv_heads);
  line.whole("--ffn", "width of the feed-forward part; default: 8/3 of the width (llama) or 4 times (gpt2)",
             1, dimension_max, f.ffn);
  line.whole("--context", "tokens of a window", 1, dimension_max, f.context);
  line.flag("--untied", "an output matrix of its own instead of the embedding", f.untied);
}

void declare_schedule(CommandLine& line, TrainFlags& f) {
  TrainOptions& o = f.options;
  constexpr std::uint32_t steps_max = 1U << 30;
  line.group("Training");
  line.whole("--steps", "steps of the whole run (5000)", 1, steps_max, f.steps);
  line.whole("--batch", "windows of one pass (12)", 1, 1U << 16, f.batch);
  line.whole("--accumulate", "passes whose gradients make one step (1)", 1, 1U << 16, f.accumulate);
  line.option("--learning-rate", "X", "the highest learning rate (0.001)",
              number(o.schedule.rate, {0, unlimited, true}));
  line.option("--learning-rate-min", "X", "where the schedule ends; default: a tenth of the highest",
              [&f](std::string_view what, const std::string& value) -> Status {
                TROUPE_TRY(f.rate_min, parse_number(what, value, {0, unlimited, false}));
                return {};
              });
  line.option("--schedule", "KIND", "cosine (default), constant, step or one-cycle",
              [&o](std::string_view what, const std::string& value) -> Status {
                const auto kind = train::find_schedule(value);
                if (!kind) return unknown_value(what, value, "cosine, constant, step or one-cycle");
                o.schedule.kind = *kind;
                return {};
              });
  line.option(
      "--warmup", "N",
      "steps in which the rate rises; at most --steps; default: 200, or a tenth of --steps if that is less",
      [&f](std::string_view what, const std::string& value) -> Status {
        TROUPE_TRY(const std::uint64_t number, parse_whole(what, value, 0, steps_max));
        f.warmup = static_cast<std::uint32_t>(number);
        return {};
      });
  line.whole("--step-every", "with --schedule step: steps between two falls (1000)", 1, steps_max,
             f.step_every);
  line.option("--step-factor", "X", "with --schedule step: what the rate is multiplied with (0.5)",
              number(o.schedule.step_factor, {0, 1, true}));
  line.option("--beta1", "X", "AdamW's decay of means (0.9)", number(o.adam.beta1, {0, 0.999999, false}));
  line.option("--beta2", "X", "AdamW's decay of squares (0.95)", number(o.adam.beta2, {0, 0.999999, false}));
  line.option("--weight-decay", "X", "on matrices and embeddings, not on norms and biases (0.1)",
              number(o.adam.decay, {0, unlimited, false}));
  line.option("--clip", "X", "largest norm of a gradient; 0: any (1)",
              number(o.adam.clip, {0, unlimited, false}));
  line.option("--dropout", "X", "share of each sublayer's output that is dropped (0)",
              number(o.dropout, {0, 0.95, false}));
  line.whole("--seed", "of initial weights, windows and dropout (1)", 0, 0xFFFFFFFF, f.seed);
  line.whole("--threads", "kernel threads; default: the processors that this process may use", 1, 1024,
             f.threads);
}

void declare_files(CommandLine& line, TrainFlags& f) {
  TrainOptions& o = f.options;
  constexpr std::uint32_t steps_max = 1U << 30;
  line.group("Files");
  line.text("--out", "MODEL.gguf",
            "the model, with the lowest validation loss so far; the run's state is MODEL.gguf.state", f.out);
  line.option("--type", "TYPE", "how matrices are stored in the model: f32 (default), f16, q8_0 or q4_0",
              [&o](std::string_view what, const std::string& value) -> Status {
                if (value == "f32") {
                  o.type = TensorType::f32;
                } else if (value == "f16") {
                  o.type = TensorType::f16;
                } else if (value == "q8_0") {
                  o.type = TensorType::q8_0;
                } else if (value == "q4_0") {
                  o.type = TensorType::q4_0;
                } else {
                  return unknown_value(what, value, "f32, f16, q8_0 or q4_0");
                }
                return {};
              });
  line.text("--name", "TEXT", "general.name of the model; default: the file's name", f.name);
  line.flag("--resume", "go on from the state of an earlier run with the same settings", o.resume);
  line.whole("--validate-every", "steps between validations (250)", 1, steps_max, f.validate_every);
  line.whole("--validation-windows", "windows of a validation, at equal distances (128)", 1, steps_max,
             f.validation_windows);
  line.whole("--save-every", "steps between saved states; 0: only at the end (1000)", 0, steps_max,
             f.save_every);
  line.text("--log", "FILE.csv", "a line per step", f.log);
  line.text("--curve", "FILE.svg", "the loss curve; default: MODEL.svg beside the model", f.curve);
  line.flag("--no-curve", "no loss curve", f.no_curve);
  line.flag("--bench",
            "measure some training steps of this model on made-up text, and how fast this machine could be",
            f.bench);
}

/// Preset and explicit dimensions together.
Status resolve_shape(const TrainFlags& f, train::ModelShape& shape) {
  if (f.style != "llama" && f.style != "gpt2") return unknown_value("--style", f.style, "llama or gpt2");
  const auto style = f.style == "llama" ? train::Style::llama : train::Style::gpt2;
  const auto preset = train::preset_shape(f.size, style);
  if (!preset) return unknown_value("--size", f.size, "tiny, small or medium");
  shape = *preset;
  if (f.layers != 0) shape.layers = f.layers;
  if (f.context != 0) shape.context = f.context;
  if (f.width != 0) shape.width = f.width;
  if (f.heads != 0) shape.heads = f.heads;
  shape.kv_heads = f.kv_heads != 0 ? f.kv_heads : shape.heads;
  shape.ffn = f.ffn != 0 ? f.ffn : train::default_ffn(style, shape.width);
  shape.tied = !f.untied;
  return {};
}

Status resolve(TrainFlags& f) {
  TrainOptions& o = f.options;
  TROUPE_TRY_STATUS(resolve_shape(f, o.shape));
  o.batch_windows = f.batch;
  o.accumulate = f.accumulate;
  o.schedule.steps = f.steps;
  o.schedule.warmup_steps = f.warmup.value_or(std::min(warmup_default, f.steps / 10));
  o.schedule.step_every = f.step_every;
  o.schedule.rate_min = f.rate_min.value_or(o.schedule.rate / 10);
  o.seed = f.seed;
  o.validate_every = f.validate_every;
  o.validation_windows = f.validation_windows;
  o.save_every = f.save_every;
  o.out = f.out;
  o.log = f.log;
  o.name = f.name.empty() ? o.out.stem().string() : f.name;
  if (!f.curve.empty() && f.no_curve)
    return Error{Errc::bad_argument, "--curve and --no-curve contradict each other; give one of them"};
  o.curve = f.curve;
  if (f.curve.empty() && !f.no_curve) {
    o.curve = o.out;
    o.curve.replace_extension(".svg");
  }
  return {};
}

/// What contradicts itself on the command line, by the names of its options. The trainer checks the same, and
/// what depends on the text besides.
Status check_usage(const TrainOptions& o) {
  const auto bad = [](std::string message) { return Error{Errc::bad_argument, std::move(message)}; };
  const auto text = [](std::size_t value) { return std::to_string(value); };
  const train::ModelShape& s = o.shape;
  if (s.width % s.heads != 0)
    return bad("--width is " + text(s.width) + ", no multiple of --heads, " + text(s.heads));
  if (s.heads % s.kv_heads != 0)
    return bad("--kv-heads is " + text(s.kv_heads) + ", which does not divide --heads, " + text(s.heads));
  if (s.style == train::Style::gpt2 && s.kv_heads != s.heads) {
    return bad("--kv-heads is " + text(s.kv_heads) + "; with --style gpt2 there are as many as --heads, " +
               text(s.heads));
  }
  if (s.style == train::Style::llama && s.width / s.heads % 2 != 0) {
    return bad("--width " + text(s.width) + " by --heads " + text(s.heads) + " gives heads of " +
               text(s.width / s.heads) + " elements; --style llama needs an even number");
  }
  if (o.schedule.warmup_steps > o.schedule.steps) {
    return bad("--warmup is " + text(o.schedule.warmup_steps) +
               ", but the warm-up cannot be longer than --steps, " + text(o.schedule.steps));
  }
  if (o.schedule.rate_min > o.schedule.rate) {
    return bad("--learning-rate-min is " + short_number(o.schedule.rate_min) +
               ", but the learning rate cannot end above --learning-rate, " + short_number(o.schedule.rate));
  }
  return {};
}

/// Whether the run would write over its own text, or over another of its files.
Status check_files(const TrainOptions& o, bool curve_given) {
  struct File {
    std::string option;  // by which it came
    std::filesystem::path path;
  };
  if (o.out.extension() != ".gguf")
    return Error{Errc::bad_argument, "--out is '" + o.out.native() + "'; it must end in .gguf"};
  std::vector<File> taken;  // what must not be overwritten
  for (const auto& path : o.data) taken.push_back({"--data", path});
  for (const auto& path : o.validation) taken.push_back({"--validation", path});
  const std::string curve = curve_given ? "--curve" : "the loss curve (see --curve)";
  for (const File& output : {File{"--out", o.out}, File{"the state of --out", train::state_path(o.out)},
                             File{"--log", o.log}, File{curve, o.curve}}) {
    for (const File& file : taken) {
      if (!same_file(file.path, output.path)) continue;
      return Error{Errc::bad_argument, output.option + " is '" + output.path.native() +
                                           "', which is the same file as " + file.option + ", '" +
                                           file.path.native() + "'; give each a file of its own"};
    }
    taken.push_back(output);
  }
  return {};
}

std::string duration(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole % 3600 / 60) + " min";
}

std::string progress_label(const train::Progress& p) {
  std::string label = "step " + std::to_string(p.step) + "/" + std::to_string(p.steps) + "  loss " +
                      fixed_decimals(p.smoothed, 3);
  if (std::isfinite(p.validation_best)) label += "  best " + fixed_decimals(p.validation_best, 3);
  return label + "  " + short_count(p.tokens_per_s) + " tokens/s  " + duration(p.seconds_left) + " left";
}

int train_model(TrainFlags& flags, ThreadPool& pool) {
  auto trainer = train::Trainer::create(std::move(flags.options), pool);
  if (!trainer) return report(trainer.error());
  say((*trainer)->description());
  ProgressBar bar("starting");
  const auto show = [&](const train::Progress& p) {
    if (p.validation) {
      bar.wipe();
      say("step " + std::to_string(p.step) + ": validation loss " + fixed_decimals(*p.validation, 4) +
          (*p.validation <= p.validation_best ? " (best), " : ", ") + "training " +
          fixed_decimals(p.smoothed, 4) + ", rate " + fixed_decimals(p.rate, 6) + ", " +
          short_count(p.tokens_per_s) + " tokens/s, " + duration(p.seconds_left) + " left\n");
    }
    bar.show(progress_label(p), static_cast<double>(p.step) / static_cast<double>(p.steps));
  };
  const auto summary = (*trainer)->run(show, [] { return stop_requested(); });
  bar.wipe();
  if (!summary) return report(summary.error());
  std::string words = (summary->stopped ? "stopped after step " : "done: ") + std::to_string(summary->steps) +
                      (summary->stopped ? "" : " steps") + ", " +
                      short_count(static_cast<double>(summary->tokens_seen)) + " tokens seen, " +
                      duration(summary->seconds);
  if (std::isfinite(summary->validation_best))
    words += "; best validation loss " + fixed_decimals(summary->validation_best, 4) + " per token, " +
             fixed_decimals(summary->validation_best_per_byte, 4) + " per byte";
  say(words + "\n");
  if (summary->stopped) say("the same command with --resume goes on\n");
  return summary->stopped ? stop_exit_status() : exit_ok;
}

}  // namespace

int run_train(const Arguments& arguments) {
  CommandLine line("train", "--data FILE --out MODEL.gguf [OPTIONS]",
                   "Trains a small model from text and writes it as GGUF. Ctrl-C saves the state and leaves.",
                   "Example: troupe train --data stories.txt --vocab bpe:1024 --size tiny --out my.gguf");
  TrainFlags flags;
  declare_text(line, flags);
  declare_model(line, flags);
  declare_schedule(line, flags);
  declare_files(line, flags);
  if (const auto status = line.parse(arguments)) return *status;
  if (const Status status = resolve(flags); !status) return line.usage_error(status.error().message);
  if (!flags.bench && flags.options.data.empty()) return line.usage_error("give --data FILE");
  if (!flags.bench && flags.out.empty()) return line.usage_error("give --out MODEL.gguf");
  if (const Status status = check_usage(flags.options); !status)
    return line.usage_error(status.error().message);
  if (!flags.bench) {
    if (const Status status = check_files(flags.options, !flags.curve.empty()); !status)
      return line.usage_error(status.error().message);
  }
  install_signal_handlers(InterruptUse::once);
  const auto pool = guarded(
      "cannot start the kernel threads; a smaller --threads needs fewer",
      [&]() -> Result<std::unique_ptr<ThreadPool>> { return std::make_unique<ThreadPool>(flags.threads); });
  if (!pool) return report(pool.error());
  return flags.bench ? bench_training(flags.options, **pool) : train_model(flags, **pool);
}

}  // namespace troupe::tools
