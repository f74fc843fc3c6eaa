#include "train/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/atomic_file.hpp"
#include "base/decimal.hpp"
#include "base/memory.hpp"
#include "base/try.hpp"
#include "base/utf8.hpp"
#include "tokenizer/load.hpp"
#include "train/csv_log.hpp"
#include "train/export.hpp"
#include "train/loss_curve.hpp"
#include "train/network.hpp"
#include "train/state_file.hpp"

namespace troupe::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Status check_options(const TrainOptions& o) {
  const auto bad = [](std::string message) { return Error{Errc::bad_argument, std::move(message)}; };
  if (o.data.empty()) return bad("no text was given to train on");
  if (o.out.empty()) return bad("no model file was named to write");
  if (o.batch_windows == 0 || o.accumulate == 0) return bad("batch and accumulate must be at least 1");
  if (o.schedule.steps == 0) return bad("steps is 0; give at least 1");
  if (o.schedule.warmup_steps > o.schedule.steps)
    return bad("warm-up takes " + std::to_string(o.schedule.warmup_steps) + " steps of only " +
               std::to_string(o.schedule.steps));
  if (!(o.schedule.rate > 0) || !(o.schedule.rate_min >= 0) || o.schedule.rate_min > o.schedule.rate)
    return bad("learning rate " + short_decimal(o.schedule.rate) + " with a minimum of " +
               short_decimal(o.schedule.rate_min) +
               " makes no sense; it must be positive and not below its minimum");
  if (!(o.dropout >= 0) || o.dropout >= 1)
    return bad("dropout is " + short_decimal(o.dropout) + "; give 0 up to 1");
  if (!(o.validation_share >= 0) || o.validation_share >= 1)
    return bad("the validation share is " + short_decimal(o.validation_share) + "; give 0 up to 1");
  return {};
}

/// Whether a file can be made at `path`: a run of hours must not end for want of a folder.
Status check_place(const std::filesystem::path& path) {
  TROUPE_TRY(const AtomicFile probe, AtomicFile::create(path));
  return {};
}

/// Everything that two runs must have in common for one to carry on the other. The schedule is not in it, so
/// that a run can be made longer.
std::string recipe_of(const TrainOptions& o, const Corpus& corpus) {
  const ModelShape& s = o.shape;
  std::string text = s.style == Style::llama ? "style=llama" : "style=gpt2";
  const auto number = [&text](const char* name, std::uint64_t value) {
    text.append(" ").append(name).append("=").append(std::to_string(value));
  };
  const auto decimal = [&text](const char* name, double value) {
    text.append(" ").append(name).append("=").append(short_decimal(value));
  };
  number("vocab", s.vocab);
  number("context", s.context);
  number("layers", s.layers);
  number("width", s.width);
  number("heads", s.heads);
  number("kv-heads", s.kv_heads);
  number("ffn", s.ffn);
  number("tied", s.tied ? 1 : 0);
  number("batch", o.batch_windows);
  number("accumulate", o.accumulate);
  decimal("dropout", o.dropout);
  number("seed", o.seed);
  decimal("beta1", o.adam.beta1);
  decimal("beta2", o.adam.beta2);
  decimal("eps", o.adam.eps);
  decimal("decay", o.adam.decay);
  decimal("clip", o.adam.clip);
  constexpr const char* hex = "0123456789abcdef";
  text += " text=";
  for (int shift = 60; shift >= 0; shift -= 4) text += hex[(corpus.fingerprint >> shift) & 15];
  return text;
}

/// Tokens per second over the last steps, and what is left at that pace.
class Pace {
 public:
  void step(double seconds, double tokens) {
    constexpr double weight = 0.1;
    const double share = steps_++ == 0 ? 1.0 : weight;
    seconds_ += share * (seconds - seconds_);
    tokens_ += share * (tokens - tokens_);
  }
  double tokens_per_s() const { return seconds_ > 0 ? tokens_ / seconds_ : 0; }
  double seconds_per_step() const { return seconds_; }

 private:
  std::uint64_t steps_ = 0;
  double seconds_ = 0, tokens_ = 0;
};

}  // namespace

std::filesystem::path state_path(const std::filesystem::path& out) {
  std::filesystem::path path = out;
  path += ".state";
  return path;
}

struct Trainer::Impl {
  Impl(TrainOptions given, Corpus text, Metadata keys, ThreadPool& threads)
      : options(std::move(given)),
        corpus(std::move(text)),
        vocabulary(std::move(keys)),
        pool(threads),
        network(options.shape, options.batch_windows, pool),
        optimizer(network.layout(), options.adam, pool),
        parameters(network.layout().count),
        gradients(network.layout().count),
        inputs(options.batch_windows * options.shape.context),
        targets(inputs.size()) {}

  std::uint64_t tokens_per_step() const {
    return static_cast<std::uint64_t>(options.batch_windows) * options.accumulate * options.shape.context;
  }
  double train_step(double& gradient_norm, double rate);
  double validate();
  Status save_state();
  Status save_model();
  Status save_curve();

  TrainOptions options;
  Corpus corpus;
  Metadata vocabulary;
  ThreadPool& pool;
  Network network;
  Optimizer optimizer;
  AlignedBuffer<float> parameters, gradients;
  std::vector<Token> inputs, targets;
  RunState state;
};

Trainer::Trainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trainer::~Trainer() = default;
const ModelShape& Trainer::shape() const {
  return impl_->options.shape;
}
const float* Trainer::parameters() const {
  return impl_->parameters.data();
}
const Corpus& Trainer::corpus() const {
  return impl_->corpus;
}

Result<std::unique_ptr<Trainer>> Trainer::create(TrainOptions options, ThreadPool& pool) {
  TROUPE_TRY_STATUS(check_options(options));
  TROUPE_TRY_STATUS(check_place(options.out));
  if (!options.curve.empty()) TROUPE_TRY_STATUS(check_place(options.curve));
  TROUPE_TRY(const auto files, read_texts(options.data));
  TROUPE_TRY(const auto held_out, read_texts(options.validation));
  TROUPE_TRY(Metadata vocabulary, learn_vocabulary(options.vocabulary, files, held_out));
  Checkpoint words;
  words.metadata = vocabulary;
  TROUPE_TRY(const auto tokenizer, load_tokenizer(words));
  options.shape.vocab = tokenizer->vocab_size();
  TROUPE_TRY_STATUS(check_shape(options.shape));
  TROUPE_TRY(Corpus corpus, encode_corpus(*tokenizer, files, held_out, options.validation_share));
  for (const TokenText* text : {&corpus.training, &corpus.validation}) {
    const bool validation = text == &corpus.validation;
    if (validation && text->tokens.empty()) continue;
    if (text->tokens.size() <= options.shape.context) {
      return Error{Errc::bad_argument,
                   std::string(validation ? "the validation" : "the training") + " text has " +
                       std::to_string(text->tokens.size()) + " tokens, too few for a context of " +
                       std::to_string(options.shape.context) + "; give more text or a smaller --context"};
    }
  }
  const ParameterLayout layout(options.shape);
  const std::uint64_t bytes =
      4 * 4 * layout.count + Network::buffer_bytes(options.shape, options.batch_windows);
  if (bytes > usable_memory_bytes()) {
    return Error{Errc::too_large, "training needs " + std::to_string(bytes >> 20) + " MiB and only " +
                                      std::to_string(usable_memory_bytes() >> 20) +
                                      " MiB are free; a smaller --batch with --accumulate needs less"};
  }
  auto impl = std::make_unique<Impl>(std::move(options), std::move(corpus), std::move(vocabulary), pool);
  Impl& run = *impl;
  const std::string recipe = recipe_of(run.options, run.corpus);
  if (run.options.resume) {
    TROUPE_TRY(run.state, read_state(state_path(run.options.out), recipe, run.network.layout(),
                                     run.parameters.data(), run.optimizer.means(), run.optimizer.squares()));
  } else {
    initialize(run.network.layout(), run.options.seed, run.parameters.data());
    run.state.recipe = recipe;
  }
  return std::unique_ptr<Trainer>(new Trainer(std::move(impl)));
}

double Trainer::Impl::train_step(double& gradient_norm, double rate) {
  const ModelShape& shape = options.shape;
  std::fill_n(gradients.data(), gradients.size(), 0.0f);
  double loss = 0;
  for (std::size_t pass = 0; pass < options.accumulate; ++pass) {
    const std::uint64_t number = state.step * options.accumulate + pass;
    draw_windows(corpus.training, options.seed, number * options.batch_windows, options.batch_windows,
                 shape.context, inputs, targets);
    const Dropout dropout{static_cast<float>(options.dropout), options.seed, number};
    loss += network.backward(parameters.data(), {inputs, targets, options.batch_windows, shape.context},
                             1.0f / static_cast<float>(options.accumulate), dropout, gradients.data());
  }
  loss /= static_cast<double>(options.accumulate);
  gradient_norm = std::numeric_limits<double>::quiet_NaN();
  if (std::isfinite(loss))
    gradient_norm = optimizer.update(parameters.data(), gradients.data(), state.step, rate);
  return loss;
}

double Trainer::Impl::validate() {
  const std::size_t time = options.shape.context;
  const std::size_t total = std::min(options.validation_windows, corpus.validation.tokens.size() - time);
  double sum = 0;
  for (std::size_t first = 0; first < total; first += options.batch_windows) {
    const std::size_t windows = std::min(options.batch_windows, total - first);
    take_windows(corpus.validation, first, total, windows, time, inputs, targets);
    const std::span<const Token> in(inputs), out(targets);
    sum +=
        static_cast<double>(windows) *
        network.loss(parameters.data(), {in.first(windows * time), out.first(windows * time), windows, time});
  }
  return sum / static_cast<double>(total);
}

Status Trainer::Impl::save_state() {
  return write_state(state_path(options.out), state, vocabulary, network.layout(), parameters.data(),
                     optimizer.means(), optimizer.squares());
}

Status Trainer::Impl::save_model() {
  return export_model(options.out, options.shape, network.layout(), parameters.data(), vocabulary,
                      options.name, options.type);
}

Status Trainer::Impl::save_curve() {
  if (options.curve.empty()) return {};
  TROUPE_TRY(AtomicFile file, AtomicFile::create(options.curve));
  TROUPE_TRY_STATUS(file.write(loss_curve_svg(state.history, options.name)));
  return file.commit();
}

Result<TrainSummary> Trainer::run(const std::function<void(const Progress&)>& progress,
                                  const std::function<bool()>& stop) {
  Impl& run = *impl_;
  const TrainOptions& o = run.options;
  const bool validates = !run.corpus.validation.tokens.empty() && o.validate_every > 0;
  std::optional<CsvLog> log;
  if (!o.log.empty()) {
    TROUPE_TRY(log, CsvLog::open(o.log, run.state.step));
  }
  TrainSummary summary;
  const auto begin = Clock::now();
  Pace pace;
  double smoothed =
      run.state.history.losses.empty() ? 0 : static_cast<double>(run.state.history.losses.back());
  double best = run.state.history.best();
  summary.exported = std::isfinite(best);
  while (run.state.step < o.schedule.steps && !summary.stopped) {
    Progress p;
    p.rate = rate_at(o.schedule, run.state.step);
    const auto step_begin = Clock::now();
    p.loss = run.train_step(p.gradient_norm, p.rate);
    if (!std::isfinite(p.loss) || !std::isfinite(p.gradient_norm)) {
      return Error{Errc::fault, std::string(std::isfinite(p.loss) ? "the gradient" : "the loss") +
                                    " is no longer a finite number in step " +
                                    std::to_string(run.state.step + 1) + " at learning rate " +
                                    short_decimal(p.rate) +
                                    "; lower --learning-rate, lengthen --warmup or clip more (--clip)"};
    }
    pace.step(seconds_since(step_begin), static_cast<double>(run.tokens_per_step()));
    ++run.state.step;
    run.state.history.losses.push_back(static_cast<float>(p.loss));
    smoothed = run.state.history.losses.size() == 1 ? p.loss : smoothed + 0.05 * (p.loss - smoothed);

    const bool last = run.state.step == o.schedule.steps;
    summary.stopped = !last && stop();
    if (validates && (last || run.state.step % o.validate_every == 0)) {
      p.validation = run.validate();
      run.state.history.validations.push_back({run.state.step, *p.validation});
      if (*p.validation < best) {
        best = *p.validation;
        TROUPE_TRY_STATUS(run.save_model());
        summary.exported = true;
      }
      TROUPE_TRY_STATUS(run.save_curve());
    }
    if (last || summary.stopped || (o.save_every > 0 && run.state.step % o.save_every == 0))
      TROUPE_TRY_STATUS(run.save_state());

    p.step = run.state.step;
    p.steps = o.schedule.steps;
    p.smoothed = smoothed;
    p.validation_best = best;
    p.tokens_per_s = pace.tokens_per_s();
    p.seconds_left = pace.seconds_per_step() * static_cast<double>(o.schedule.steps - run.state.step);
    if (log) TROUPE_TRY_STATUS(log->append(p, run.state.step * run.tokens_per_step()));
    progress(p);
  }
  if (!validates || !summary.exported) {  // nothing was better than the last: it is the model
    TROUPE_TRY_STATUS(run.save_model());
    summary.exported = true;
  }
  TROUPE_TRY_STATUS(run.save_curve());
  summary.steps = run.state.step;
  summary.validation_best = best;
  const TokenText& held = run.corpus.validation;
  summary.validation_best_per_byte =
      held.bytes == 0 ? best
                      : best * static_cast<double>(held.tokens.size()) / static_cast<double>(held.bytes);
  summary.tokens_seen = run.state.step * run.tokens_per_step();
  summary.seconds = seconds_since(begin);
  return summary;
}

std::string Trainer::description() const {
  const Impl& run = *impl_;
  const ModelShape& s = run.options.shape;
  const auto millions = [](std::uint64_t n) { return fixed_decimal(static_cast<double>(n) * 1e-6, 2); };
  std::string out;
  out += "text: " + std::to_string(run.corpus.training.tokens.size()) + " tokens to train on (" +
         std::to_string(run.corpus.training.bytes) + " bytes), " +
         std::to_string(run.corpus.validation.tokens.size()) + " held back (" +
         std::to_string(run.corpus.validation.bytes) + " bytes)\n";
  out += "model: " + std::string(s.style == Style::llama ? "llama" : "gpt2") + ", " +
         millions(run.network.layout().count) + " M parameters: " + std::to_string(s.layers) +
         " layers of width " + std::to_string(s.width) + ", " + std::to_string(s.heads) + " heads (" +
         std::to_string(s.kv_heads) + " of keys), feed-forward " + std::to_string(s.ffn) + ", context " +
         std::to_string(s.context) + ", vocabulary " + std::to_string(s.vocab) + "\n";
  out += "step: " + std::to_string(run.tokens_per_step()) + " tokens in " +
         std::to_string(run.options.accumulate) + (run.options.accumulate == 1 ? " pass, " : " passes, ") +
         fixed_decimal(static_cast<double>(4 * 4 * run.network.layout().count +
                                           Network::buffer_bytes(s, run.options.batch_windows)) /
                           1048576.0,
                       0) +
         " MiB of memory\n";
  if (run.state.step > 0) out += "resuming after step " + std::to_string(run.state.step) + "\n";
  return out;
}

}  // namespace troupe::train
