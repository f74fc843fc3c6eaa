#include "tools/statistics.hpp"

#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

std::string milliseconds(double value) {
  return fixed_decimals(value, 1) + " ms";
}

std::string counted(std::uint64_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace

double tokens_per_second(const Generation& answer) {
  const double decode_ms = answer.timings.total_ms - answer.timings.ttft_ms;
  if (answer.usage.completion_tokens < 2 || decode_ms <= 0) return 0;
  return (answer.usage.completion_tokens - 1) * 1000.0 / decode_ms;
}

std::string describe_answer(const Generation& answer) {
  const std::uint32_t cached = answer.usage.cached_tokens;
  std::string out = std::to_string(answer.usage.prompt_tokens) + " prompt" +
                    (cached != 0 ? " (" + std::to_string(cached) + " cached)" : "") + " + " +
                    std::to_string(answer.usage.completion_tokens) + " answer tokens (" +
                    finish_reason_name(answer.finish_reason) + "), queue " +
                    milliseconds(answer.timings.queue_ms);
  if (answer.usage.completion_tokens > 0) out += ", first token " + milliseconds(answer.timings.ttft_ms);
  out += ", total " + milliseconds(answer.timings.total_ms);
  const double rate = tokens_per_second(answer);
  if (rate > 0) out += ", " + fixed_decimals(rate, 1) + " tokens/s";
  return out;
}

std::string describe_engine(const EngineStats& stats) {
  const double steps = stats.steps > 0 ? static_cast<double>(stats.steps) : 1;
  const std::string drafts = stats.draft_tokens == 0
                                 ? std::string()
                                 : "engine: " + std::to_string(stats.draft_tokens_accepted) + " of " +
                                       counted(stats.draft_tokens, "guessed token") + " accepted\n";
  const std::string evictions = stats.evictions == 0
                                    ? std::string()
                                    : "engine: requests made way " + counted(stats.evictions, "time") +
                                          " because the KV cache was full\n";
  return "engine: " + counted(stats.requests_admitted, "request") + ", " +
         std::to_string(stats.prompt_tokens) + " prompt + " + std::to_string(stats.completion_tokens) +
         " answer tokens, " + counted(stats.generators, "generator") +
         "\nengine: " + std::to_string(stats.steps) + " forward passes of " +
         fixed_decimals(static_cast<double>(stats.step_rows) / steps, 2) + " rows and " +
         fixed_decimals(stats.step_seconds * 1000 / steps, 3) + " ms on average, KV pages " + "at most " +
         std::to_string(stats.kv_pages_peak) + " of " + std::to_string(stats.kv_pages_total) + " in use\n" +
         evictions + drafts;
}

}  // namespace troupe::tools
