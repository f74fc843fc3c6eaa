// troupe bench-model: the forward pass against the clock, beside what the machine could do.

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/guard.hpp"
#include "base/try.hpp"
#include "kernels/ceilings.hpp"
#include "kernels/targets.hpp"
#include "model/evaluate.hpp"
#include "model/forward_bench.hpp"
#include "model/model_parts.hpp"
#include "tools/cli_options.hpp"
#include "tools/engine_flags.hpp"
#include "tools/json_text.hpp"
#include "tools/number_text.hpp"
#include "tools/open_model.hpp"
#include "tools/signals.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

constexpr std::uint32_t tokens_limit = 1U << 20;

struct BenchModelFlags {
  ModelFlags model;
  EngineFlags engine;
  std::uint32_t prefill = 512;
  std::uint32_t decode = 128;
  std::uint32_t prompt = 16;
  std::vector<std::uint32_t> batches = {1};
  std::uint32_t repeats = 3;
  bool json = false;
};

/// Makes the kernels run with `name`, which is a target of this CPU.
Status choose_kernels(std::string_view what, const std::string& name) {
  std::string known;
  for (const std::string& target : kernel_targets()) {
    known += (known.empty() ? "" : ", ") + target;
    if (target != name) continue;
    force_kernel_target(name);
    return {};
  }
  return Error{Errc::bad_argument, std::string(what) + " must be one of those that this CPU has (" + known +
                                       "), not '" + name + "'"};
}

/// One line of the table.
struct Measured {
  bool prefill = false;
  std::uint32_t tokens = 0;
  std::uint32_t batch = 1;
  std::vector<double> tokens_per_s = {};  // one per repeat

  double median() const {
    std::vector<double> sorted = tokens_per_s;
    std::sort(sorted.begin(), sorted.end());
    const std::size_t middle = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }
};

void declare(CommandLine& command_line, BenchModelFlags& flags) {
  flags.model.declare(command_line);
  command_line.whole("--prefill", "tokens of the prompt that is evaluated, 0 for none; default: 512", 0,
                     tokens_limit, flags.prefill);
  command_line.whole("--decode", "steps of decoding, 0 for none; default: 128", 0, tokens_limit,
                     flags.decode);
  command_line.option("--batch", "LIST",
                      "sequences that are decoded at once, e.g. 1,4,8, each up to 1024; default: 1",
                      [&flags](std::string_view what, const std::string& value) -> Status {
                        TROUPE_TRY(flags.batches, parse_whole_list(what, value, 1, parallel_max));
                        return {};
                      });
  command_line.whole("--prompt", "tokens that each sequence has before decoding starts; default: 16", 0,
                     tokens_limit, flags.prompt);
  command_line.whole("--repeat", "measurements of each, taken in turn; default: 3", 1, 1000, flags.repeats);
  command_line.option("--kernels", "TARGET",
                      "instruction set of the kernels, e.g. AVX2; default: the best that this CPU has",
                      choose_kernels);
  command_line.flag("--json",
                    "print a list of {\"test\",\"tokens\",\"batch\",\"threads\",\"tokens_per_s\":[…]}",
                    flags.json);
  command_line.group("Engine");
  flags.engine.declare_threads(command_line);
  flags.engine.declare_kv_type(command_line);
  command_line.whole("--step-tokens", "rows of one forward pass of the prompt; default: 256", 1, 1U << 16,
                     flags.engine.options.step_tokens_max);
}

std::vector<Measured> planned(const BenchModelFlags& flags) {
  std::vector<Measured> rows;
  if (flags.prefill != 0) rows.push_back({true, flags.prefill, 1});
  if (flags.decode == 0) return rows;
  for (const std::uint32_t batch : flags.batches) rows.push_back({false, flags.decode, batch});
  return rows;
}

/// Learned positions end, and nobody should wait for an hour to be told.
Status check_positions(const Model& model, const BenchModelFlags& flags) {
  const std::uint32_t longest = std::max(flags.prefill, flags.decode == 0 ? 0 : flags.prompt + flags.decode);
  TROUPE_TRY_STATUS(resolve_context_tokens(model, longest));
  return {};
}

/// In turn, so that all tests see the same weather.
Status measure(ForwardBench& bench, const BenchModelFlags& flags, std::vector<Measured>& rows) {
  for (std::uint32_t repeat = 0; repeat < flags.repeats; ++repeat) {
    for (Measured& row : rows) {
      const auto seconds = row.prefill ? bench.prefill(row.tokens, flags.engine.options.step_tokens_max)
                                       : bench.decode(row.tokens, row.batch, flags.prompt);
      if (!seconds) return Error{Errc::cancelled, "stopped"};
      row.tokens_per_s.push_back(row.tokens * row.batch / *seconds);
    }
  }
  return {};
}

std::string json(const std::vector<Measured>& rows, unsigned threads) {
  std::string out = "[";
  for (const Measured& row : rows) {
    if (out.size() > 1) out += ',';
    out += std::string("{\"test\":\"") + (row.prefill ? "prefill" : "decode") +
           "\",\"tokens\":" + std::to_string(row.tokens) + ",\"batch\":" + std::to_string(row.batch) +
           ",\"threads\":" + std::to_string(threads) + ",\"tokens_per_s\":[";
    for (std::size_t i = 0; i < row.tokens_per_s.size(); ++i)
      out += (i == 0 ? "" : ",") + json_number(static_cast<float>(row.tokens_per_s[i]));
    out += "]}";
  }
  return out + "]\n";
}

std::string padded(std::string text, std::size_t columns) {
  return text.size() < columns ? std::string(columns - text.size(), ' ') + text : text;
}

/// The table, and the machine's limits: reading weights bounds decoding, arithmetic bounds prompts.
std::string table(const std::vector<Measured>& rows, const Model& model, ThreadPool& pool,
                  std::uint32_t step_tokens) {
  const double read_peak = measure_read_gb_s(pool);
  const double int8_peak = measure_int8_gmac_s(pool);
  const double f32_peak = measure_f32_gmac_s(pool);
  const StepCost cost = step_cost(model);
  std::string out =
      "kernels " + active_kernel_target() + ", threads " + std::to_string(pool.threads()) +
      "; a step reads " + short_bytes(static_cast<double>(cost.layer_bytes + cost.output_bytes)) +
      " of weights\n" + "this machine: memory read at " + fixed_decimals(read_peak, 1) +
      " GB/s, multiply-adds of int8 " + fixed_decimals(int8_peak, 0) + " G/s, of f32 " +
      fixed_decimals(f32_peak, 0) + " G/s\n\n" +
      "test               tokens/s      least       most    GB/s   of read   GMAC/s   of int8   of f32\n";
  for (const Measured& row : rows) {
    const double rate = row.median();
    const auto [least, most] = std::minmax_element(row.tokens_per_s.begin(), row.tokens_per_s.end());
    const double tokens = static_cast<double>(row.tokens) * row.batch;
    const double steps = row.prefill ? (row.tokens + step_tokens - 1) / step_tokens : row.tokens;
    const double outputs = row.prefill ? 1 : tokens;  // rows of logits
    const double output_reads = row.prefill ? 1 : steps;
    const double seconds = tokens / rate;
    const double gb_s = (steps * static_cast<double>(cost.layer_bytes) +
                         output_reads * static_cast<double>(cost.output_bytes)) /
                        seconds * 1e-9;
    const double gmac_s =
        (tokens * static_cast<double>(cost.layer_macs) + outputs * static_cast<double>(cost.output_macs)) /
        seconds * 1e-9;
    const std::string name = row.prefill
                                 ? "prefill " + std::to_string(row.tokens)
                                 : "decode " + std::to_string(row.tokens) + " x" + std::to_string(row.batch);
    const auto share = [](double part, double whole) { return fixed_decimals(100 * part / whole, 0) + " %"; };
    out += name + padded(fixed_decimals(rate, 1), 27 - std::min<std::size_t>(name.size(), 27)) +
           padded(fixed_decimals(*least, 1), 11) + padded(fixed_decimals(*most, 1), 11) +
           padded(fixed_decimals(gb_s, 1), 8) + padded(share(gb_s, read_peak), 10) +
           padded(fixed_decimals(gmac_s, 1), 9) + padded(share(gmac_s, int8_peak), 10) +
           padded(share(gmac_s, f32_peak), 9) + "\n";
  }
  return out;
}

}  // namespace

int run_bench_model(const Arguments& arguments) {
  CommandLine command_line(
      "bench-model", "[MODEL] [OPTIONS]",
      "Measures the model's forward pass, without actors and sampling: tokens per second of a "
      "prompt (prefill) and of decoding, with random tokens.",
      "The table shows medians, and beside them what this machine could do: memory is read once "
      "per step for the weights, so decoding few sequences is bounded by GB/s; prompts and large "
      "batches are bounded by multiply-adds (GMAC/s), of int8 for quantized weights, of f32 for "
      "F32 and F16.");
  BenchModelFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (const Status status = flags.model.check(); !status)
    return command_line.usage_error(status.error().message);
  std::vector<Measured> rows = planned(flags);
  if (rows.empty()) return command_line.usage_error("--prefill 0 and --decode 0 leave nothing to measure");
  install_signal_handlers(InterruptUse::once);
  const auto model = open_model(flags.model, flags.engine.options.threads, true);
  if (!model) return report(model.error());
  if (const Status status = check_positions(**model, flags); !status) return report(status.error());
  const KvType kv_type = kv_type_of(resolve_kv_precision(**model, flags.engine.options.kv_precision));
  const auto text = guarded("measuring", [&]() -> Result<std::string> {
    ForwardBench bench(**model, flags.engine.options.threads, kv_type, stop_requested);
    TROUPE_TRY_STATUS(measure(bench, flags, rows));
    return flags.json ? json(rows, bench.pool().threads())
                      : table(rows, **model, bench.pool(), flags.engine.options.step_tokens_max);
  });
  if (!text) return report(text.error());
  Output output;
  output.raw(*text);
  return finish_output(output, exit_ok);
}

}  // namespace troupe::tools
