// troupe bench: load on the engine, through its actors, as clients would make it.

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "base/atomic_file.hpp"
#include "base/guard.hpp"
#include "base/try.hpp"
#include "tools/bench_report.hpp"
#include "tools/cli_options.hpp"
#include "tools/engine_flags.hpp"
#include "tools/load.hpp"
#include "tools/number_text.hpp"
#include "tools/open_model.hpp"
#include "tools/progress_bar.hpp"
#include "tools/signals.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"
#include "troupe/engine.hpp"

namespace troupe::tools {
namespace {

constexpr std::string_view summary =
    "Measures the engine under load: requests and tokens per second, and how long requests wait, for their "
    "first "
    "token, between tokens and for the whole answer. Each request has a random prompt of its own, and "
    "answers have "
    "the length that was asked for.";
constexpr std::string_view notes =
    "Closed loop (--concurrency): so many clients, each with one request at a time and the next when that "
    "has ended. "
    "Open loop (--rate): requests come at random moments, on average so many per second, whatever became of "
    "those "
    "before; those that the full queue refuses are counted and go away, and times count from the moment at "
    "which "
    "a request was due. A rate that ends in x is a multiple of what a closed loop of twice --pool clients "
    "reaches, "
    "which is measured first: --rate 0.5x,0.9x,10x.\n"
    "Times are those that clients see, in milliseconds; percentiles are exact. Rates are of what was done "
    "within "
    "the run's duration. The steps are the forward passes of the engine; what passes between two of them "
    "while requests run is sampling, messages and waiting. Ctrl-C ends the run and prints what was measured; "
    "exit status 130.\n"
    "--json prints {\"runs\":[…]}; each run has concurrency (null in an open loop), rate_per_s (null in a "
    "closed one), requests, completed, failed, refused, cancelled, duration_s, requests_per_s, tokens_per_s; "
    "queue_ms, ttft_ms, inter_token_ms, e2e_ms and refusal_ms with min, mean, p50, p95, p99 and max each; "
    "steps with count, mean_ms and between_ms; evictions, how often a request made way because the KV cache "
    "was full; resident_mib with warm and max; and keys, a list with key, "
    "clients, tokens and share.";

constexpr std::uint32_t clients_max = 4096;
constexpr std::uint32_t tokens_limit = 1U << 20;
constexpr double rate_min = 1e-3, rate_max = 1e6;  // a request in 17 minutes; more than can be sent

struct Rate {
  double value = 0;
  bool times_capacity = false;
};

struct BenchFlags {
  ModelFlags model;
  EngineFlags engine;
  std::vector<std::uint32_t> concurrency;
  std::vector<Rate> rates;
  std::vector<LoadKey> keys;
  std::uint32_t requests = 0;  // 0: not given
  double duration_s = 0;       // 0: not given
  std::optional<std::uint32_t> warmup;
  std::uint32_t pool = 0;  // 0: not given
  LoadShape shape;
  bool json = false;
  std::string svg;

  LoadLimit limit() const {
    LoadLimit limit;
    if (duration_s > 0) limit.time = std::chrono::duration<double>(duration_s);
    if (requests > 0) limit.requests = requests;
    return limit;
  }
};

Status parse_rates(std::string_view what, std::string_view text, std::vector<Rate>& rates) {
  for (std::string_view piece : split_at_commas(text)) {
    Rate rate;
    rate.times_capacity = !piece.empty() && piece.back() == 'x';
    if (rate.times_capacity) piece.remove_suffix(1);
    TROUPE_TRY(rate.value, parse_number(what, piece, {rate_min, rate_max}));
    rates.push_back(rate);
  }
  return {};
}

Status parse_keys(std::string_view what, std::string_view text, std::vector<LoadKey>& keys) {
  for (const std::string_view piece : split_at_commas(text)) {
    const std::size_t equals = piece.find('=');
    LoadKey key;
    key.name = std::string(piece.substr(0, equals));
    if (key.name.empty()) {
      return Error{Errc::bad_argument,
                   std::string(what) + " must be NAME=CLIENTS,…, not '" + std::string(text) + "'"};
    }
    if (equals != std::string_view::npos) {
      TROUPE_TRY(const std::uint64_t clients, parse_whole(what, piece.substr(equals + 1), 1, clients_max));
      key.clients = static_cast<std::uint32_t>(clients);
    }
    keys.push_back(std::move(key));
  }
  return {};
}

void declare(CommandLine& command_line, BenchFlags& flags) {
  flags.model.declare(command_line);
  command_line.group("Load");
  command_line.whole("--requests", "requests of each run; default: 100, or with --duration no limit", 1,
                     1'000'000'000, flags.requests);
  command_line.option("--duration", "S", "seconds of each run, after which no request begins",
                      [&flags](std::string_view what, const std::string& value) -> Status {
                        TROUPE_TRY(flags.duration_s, parse_number(what, value, {0, 86400, true}));
                        return {};
                      });
  command_line.option("--concurrency", "LIST",
                      "closed loop: a run for each number of clients; default: 1,4,8",
                      [&flags](std::string_view what, const std::string& value) -> Status {
                        TROUPE_TRY(flags.concurrency, parse_whole_list(what, value, 1, clients_max));
                        return {};
                      });
  command_line.option("--rate", "LIST",
                      "open loop: a run for each rate, in requests per second or, as 10x, "
                      "in multiples of the capacity",
                      [&flags](std::string_view what, const std::string& value) {
                        return parse_rates(what, value, flags.rates);
                      });
  command_line.option(
      "--keys", "LIST",
      "closed loop with clients of several keys, e.g. greedy=64,a=4,b=4; with --rate requests take "
      "turns among the keys",
      [&flags](std::string_view what, const std::string& value) {
        return parse_keys(what, value, flags.keys);
      });
  command_line.whole("--prompt-tokens", "tokens of a prompt; default: 32", 1, tokens_limit,
                     flags.shape.prompt_tokens);
  command_line.whole("-n,--max-tokens", "tokens of an answer; default: 64", 1, tokens_limit,
                     flags.shape.max_tokens);
  command_line.option("--temperature", "X", "of the sampling; default: 0.8",
                      [&flags](std::string_view what, const std::string& value) -> Status {
                        TROUPE_TRY(const double t, parse_number(what, value, {0, 100}));
                        flags.shape.sampling.temperature = static_cast<float>(t);
                        return {};
                      });
  command_line.option("--seed", "N", "of prompts, answers and arrivals; default: 0",
                      [&flags](std::string_view what, const std::string& value) -> Status {
                        TROUPE_TRY(flags.shape.seed,
                                   parse_whole(what, value, 0, std::numeric_limits<std::uint64_t>::max()));
                        return {};
                      });
  command_line.option("--warmup", "N",
                      "requests before each run that do not count; default: twice its clients",
                      [&flags](std::string_view what, const std::string& value) -> Status {
                        TROUPE_TRY(const std::uint64_t n, parse_whole(what, value, 0, 1'000'000));
                        flags.warmup = static_cast<std::uint32_t>(n);
                        return {};
                      });
  flags.engine.declare(command_line);
  flags.engine.declare_kv_memory(command_line);
  flags.engine.declare_draft_tokens(command_line);
  flags.engine.declare_replicas(command_line);
  command_line.whole("--pool", "generators at once; default: the most clients of a --concurrency, else 8", 1,
                     parallel_max, flags.pool);
  command_line.whole("--queue", "requests that may wait; default: 1024", 1, 1U << 20,
                     flags.engine.options.queue_requests_max);
  command_line.group("Output");
  command_line.flag("--json", "one JSON object instead of the table", flags.json);
  command_line.text("--svg", "FILE", "draw throughput and latencies of the runs", flags.svg);
}

std::uint32_t clients_of(const std::vector<LoadKey>& keys) {
  std::uint32_t clients = 0;
  for (const LoadKey& key : keys) clients += key.clients;
  return clients;
}

/// What the flags leave open.
void complete(BenchFlags& flags) {
  if (flags.concurrency.empty() && flags.rates.empty() && flags.keys.empty()) flags.concurrency = {1, 4, 8};
  if (flags.requests == 0 && flags.duration_s == 0) flags.requests = 100;
  EngineOptions& options = flags.engine.options;
  if (flags.pool == 0) {
    const bool sweep = !flags.concurrency.empty() && flags.rates.empty();
    const auto most = std::max_element(flags.concurrency.begin(), flags.concurrency.end());
    flags.pool = sweep ? std::min(*most, parallel_max) : options.pool_max;
  }
  options.pool_max = flags.pool;
  options.drain_ms = 0;
}

/// What contradicts itself, or would start more threads than a system may have; after complete().
Status check_usage(const BenchFlags& flags) {
  const auto bad = [](std::string message) { return Error{Errc::bad_argument, std::move(message)}; };
  const auto text = [](std::uint64_t value) { return std::to_string(value); };
  if (!flags.rates.empty() && !flags.concurrency.empty())
    return bad("--rate and --concurrency exclude each other: one opens the loop, one closes it");
  if (!flags.keys.empty() && !flags.concurrency.empty())
    return bad("--keys says how many clients there are; leave out --concurrency");
  if (const std::uint32_t clients = clients_of(flags.keys); clients > clients_max)
    return bad("--keys makes " + text(clients) + " clients in all; give at most " + text(clients_max));
  const std::uint64_t readers =
      flags.rates.empty() ? 0 : std::uint64_t{flags.keys.size()} * open_loop_threads(flags.pool);
  if (readers > clients_max) {
    return bad("--rate with " + text(flags.keys.size()) + " --keys and --pool " + text(flags.pool) +
               " takes " + text(readers) + " threads, of which " + text(clients_max) +
               " may be; give fewer keys or a smaller --pool");
  }
  return {};
}

/// What failed when the system refuses a thread to a run.
std::string threads_of(const BenchFlags& flags) {
  const char* fewer = !flags.rates.empty()  ? "a smaller --pool needs"
                      : !flags.keys.empty() ? "fewer clients of --keys need"
                                            : "a smaller --concurrency needs";
  return std::string("cannot start the threads of the clients; ") + fewer + " fewer";
}

class Bench {
 public:
  Bench(Engine& engine, const BenchFlags& flags, Output& output)
      : engine_(engine), flags_(flags), output_(output) {
    shape_ = flags.shape;
    shape_.vocab = engine.model().info().vocab_size;
  }

  Status run() {
    for (const std::uint32_t clients : flags_.concurrency) closed(clients, {{"", clients}}, flags_.limit());
    if (flags_.rates.empty()) {
      if (!flags_.keys.empty()) closed(clients_of(flags_.keys), flags_.keys, flags_.limit());
      return {};
    }
    const auto relative = [](const Rate& rate) { return rate.times_capacity; };
    double capacity = 0;
    if (std::any_of(flags_.rates.begin(), flags_.rates.end(), relative)) {
      LoadLimit limit = flags_.limit();
      if (limit.time) limit.time = std::min(*limit.time, capacity_time_max);
      const std::uint32_t clients = 2 * flags_.pool;
      capacity = closed(clients, {{"", clients}}, limit);
      if (stop_requested()) return {};
      if (capacity <= 0) return no_capacity(limit);
    }
    for (const Rate& rate : flags_.rates) open(rate.times_capacity ? rate.value * capacity : rate.value);
    return {};
  }

  const std::vector<BenchRun>& runs() const noexcept { return runs_; }

 private:
  static constexpr std::chrono::duration<double> capacity_time_max{15};

  Error no_capacity(const LoadLimit& limit) const {
    const std::string when = limit.time ? "within the " + short_number(limit.time->count()) +
                                              " s in which the capacity is measured"
                                        : "while the capacity was measured";
    const bool late = runs_.back().load.completed > 0 || runs_.back().load.failed == 0;
    return {Errc::bad_argument,
            "no answer was complete " + when +
                ", so multiples of it are not known; give --rate in requests per second" +
                (late ? ", a longer --duration or a smaller --max-tokens" : ", or see why requests fail")};
  }

  /// Returns the requests per second.
  double closed(std::uint32_t clients, const std::vector<LoadKey>& keys, const LoadLimit& limit) {
    warm_up(clients);
    if (stop_requested()) return 0;
    BenchRun run{clients, std::nullopt, keys, {}};
    ProgressBar bar(bench_run_name(run));
    run.load = run_closed_loop(engine_, shape_, keys, limit, [&](double share) { bar.show(share); });
    bar.wipe();
    shape_.seed += 1U << 20;  // other prompts in the next run
    tell(std::move(run));
    const LoadResult& load = runs_.back().load;
    return load.duration_s > 0 ? static_cast<double>(load.completed_in_time) / load.duration_s : 0;
  }

  void open(double rate) {
    warm_up(flags_.pool);
    if (stop_requested()) return;
    BenchRun run{0, rate, flags_.keys, {}};
    if (run.keys.empty()) run.keys = {{"", 0}};
    ProgressBar bar(bench_run_name(run));
    run.load = run_open_loop(engine_, shape_, run.keys, rate, flags_.limit(),
                             [&](double share) { bar.show(share); });
    bar.wipe();
    shape_.seed += 1U << 20;
    tell(std::move(run));
  }

  void warm_up(std::uint32_t clients) {
    LoadLimit limit;
    limit.requests = flags_.warmup.value_or(2 * clients);
    LoadShape shape = shape_;
    shape.seed += 1U << 19;
    ProgressBar bar("warming up");
    if (limit.requests > 0)
      run_closed_loop(engine_, shape, {{"", clients}}, limit, [&](double share) { bar.show(share); });
  }

  void tell(BenchRun run) {
    if (run.load.first_error) {
      complain(bench_run_name(run) + ": " + std::to_string(run.load.failed) +
               " requests failed, the first because " + run.load.first_error->message);
    }
    if (!flags_.json && !runs_.empty()) output_.raw("\n");
    if (!flags_.json) output_.raw(bench_text(run));
    runs_.push_back(std::move(run));
  }

  Engine& engine_;
  const BenchFlags& flags_;
  Output& output_;
  LoadShape shape_;
  std::vector<BenchRun> runs_;
};

Status write_svg(const BenchFlags& flags, const std::vector<BenchRun>& runs, const Engine& engine) {
  TROUPE_TRY(AtomicFile file, AtomicFile::create(flags.svg));
  const std::string title = engine.model().info().name + ": prompts of " +
                            std::to_string(flags.shape.prompt_tokens) + ", answers of " +
                            std::to_string(flags.shape.max_tokens) + " tokens";
  TROUPE_TRY_STATUS(file.write(bench_svg(runs, title)));
  return file.commit();
}

int measure(const std::shared_ptr<const Model>& model, const BenchFlags& flags) {
  const auto engine = Engine::start(model, flags.engine.options);
  if (!engine) return report(engine.error());
  const std::uint64_t needed = std::uint64_t{flags.shape.prompt_tokens} + flags.shape.max_tokens;
  if (needed > (*engine)->options().context_tokens) {
    return report({Errc::context_exceeded, "--prompt-tokens and --max-tokens make " + std::to_string(needed) +
                                               " tokens, but the context has " +
                                               std::to_string((*engine)->options().context_tokens) +
                                               "; --context N sets its size"});
  }
  Output output;
  if (!flags.json) {
    output.raw(model->info().name + ": prompts of " + std::to_string(flags.shape.prompt_tokens) +
               " tokens, answers of " + std::to_string(flags.shape.max_tokens) + ", " +
               engine_text((*engine)->options()) + "\n\n");
  }
  Bench bench(**engine, flags, output);
  const Status ran = guarded(threads_of(flags), [&] { return bench.run(); });
  if (flags.json) output.raw(bench_json(bench.runs()));
  int status = ran ? exit_ok : report(ran.error());
  for (const BenchRun& run : bench.runs()) {
    if (run.load.failed > 0) status = exit_failed;
  }
  if (!flags.svg.empty() && !bench.runs().empty()) {
    if (const Status written = write_svg(flags, bench.runs(), **engine); !written) {
      complain(written.error().message);
      status = exit_failed;
    }
  }
  return finish_output(output, stop_requested() ? stop_exit_status() : status);
}

}  // namespace

int run_bench(const Arguments& arguments) {
  CommandLine command_line("bench", "[MODEL] [OPTIONS]", std::string(summary), std::string(notes));
  BenchFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (const Status status = flags.model.check(); !status)
    return command_line.usage_error(status.error().message);
  complete(flags);
  if (const Status status = check_usage(flags); !status)
    return command_line.usage_error(status.error().message);
  if (!flags.svg.empty()) {  // a run of minutes must not end for want of a folder
    if (const auto probe = AtomicFile::create(flags.svg); !probe) return report(probe.error());
  }
  install_signal_handlers(InterruptUse::once);
  const auto model = open_model(flags.model, flags.engine.options.threads, true);
  if (!model) return report(model.error());
  return measure(*model, flags);
}

}  // namespace troupe::tools
