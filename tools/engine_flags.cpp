#include "tools/engine_flags.hpp"

#include <cstddef>
#include <string_view>

#include "base/try.hpp"
#include "tools/number_text.hpp"

namespace troupe::tools {
namespace {

template <class T>
struct Word {
  const char* text;
  T value;
};

constexpr Word<KvPrecision> kv_types[] = {
    {"f32", KvPrecision::f32}, {"f16", KvPrecision::f16}, {"q8_0", KvPrecision::q8_0}};
constexpr Word<Routing> routings[] = {{"least-loaded", Routing::least_loaded},
                                      {"round-robin", Routing::round_robin},
                                      {"prefix-affinity", Routing::prefix_affinity}};
constexpr Word<PoolShape> pool_shapes[] = {
    {"growing", PoolShape::growing}, {"fixed", PoolShape::fixed}, {"per-request", PoolShape::per_request}};

template <class T, std::size_t N>
std::string listed(const Word<T> (&words)[N]) {
  std::string list;
  for (std::size_t i = 0; i < N; ++i) {
    if (i != 0) list += i + 1 == N ? " or " : ", ";
    list += words[i].text;
  }
  return list;
}

template <class T, std::size_t N>
std::string text_of(const Word<T> (&words)[N], T value) {
  for (const Word<T>& word : words) {
    if (word.value == value) return word.text;
  }
  return {};
}

/// An option that takes one of some words.
template <class T, std::size_t N>
void choice(CommandLine& command_line, const std::string& name, const std::string& value_name,
            const std::string& help, const Word<T> (&words)[N], T& target) {
  command_line.option(
      name, value_name, help, [&words, &target](std::string_view what, const std::string& value) -> Status {
        for (const Word<T>& word : words) {
          if (value != word.text) continue;
          target = word.value;
          return {};
        }
        return Error{Errc::bad_argument,
                     std::string(what) + " must be " + listed(words) + ", not '" + value + "'"};
      });
}

constexpr std::uint32_t threads_max = 1024;

}  // namespace

void EngineFlags::declare(CommandLine& command_line, const std::string& context_help) {
  command_line.group("Engine");
  declare_threads(command_line);
  constexpr std::uint32_t context_max = 1U << 24;  // what the engine takes
  const char* usual =
      "tokens of prompt and answer together, 1 to 16777216; default: what the model states, within "
      "512..8192";
  command_line.whole("--context", context_help.empty() ? usual : context_help, 1, context_max,
                     options.context_tokens);
  declare_kv_type(command_line);
}

void EngineFlags::declare_kv_memory(CommandLine& command_line) {
  command_line.option(
      "--kv-bytes", "N",
      "memory of the KV cache, with K, M or G for powers of 1024; default: what the requests in "
      "flight may need, within half of the memory that is free",
      [this](std::string_view what, const std::string& value) -> Status {
        TROUPE_TRY(options.kv_bytes_max, parse_bytes(what, value));
        return {};
      });
  command_line.flag("--no-kv-overcommit",
                    "start a request only when the KV cache has room for the longest answer that it may get, "
                    "so that none has to make way when others grow",
                    [this] { options.kv_overcommit = false; });
}

void EngineFlags::declare_threads(CommandLine& command_line) {
  command_line.whole("--threads",
                     "kernel threads, 1 to 1024; default: the processors that this process may use", 1,
                     threads_max, options.threads);
}

void EngineFlags::declare_kv_type(CommandLine& command_line) {
  choice(command_line, "--kv-type", "TYPE",
         "numbers of the KV cache: f32, f16, or q8_0, which takes about half of f16's memory and rounds a "
         "little; default: f32 for F32 models, else f16",
         kv_types, options.kv_precision);
}

void EngineFlags::declare_prefix_cache(CommandLine& command_line) {
  command_line.flag("--no-prefix-cache",
                    "compute every prompt from its beginning, also where an earlier one began alike",
                    [this] { options.prefix_cache = false; });
}

void EngineFlags::declare_draft_tokens(CommandLine& command_line) {
  constexpr std::uint32_t drafts_max = 64;  // what the engine takes
  command_line.whole(
      "--draft-tokens",
      "tokens to guess ahead where a text repeats itself, 0 to 64, 0 for none; changes the speed "
      "only; default: " +
          std::to_string(options.draft_tokens_max),
      0, drafts_max, options.draft_tokens_max);
}

void EngineFlags::declare_replicas(CommandLine& command_line) {
  command_line.whole("--replicas",
                     "batchers over the one model, which divide threads and KV cache, at most one for each "
                     "thread; default 1; for many cores",
                     1, threads_max, options.replicas);
  choice(command_line, "--routing", "POLICY",
         "with --replicas, which gets a request: least-loaded (default), round-robin, or prefix-affinity, "
         "the one that "
         "was given the beginning of the prompt lately",
         routings, options.routing);
  choice(command_line, "--pool-shape", "SHAPE",
         "how generators are kept: growing (default), as they are needed; fixed, all from the start; or "
         "per-request, each for one request",
         pool_shapes, options.pool_shape);
}

std::string engine_text(const EngineOptions& options) {
  const EngineOptions usual;
  std::string text = std::to_string(options.pool_max) + " generators";
  if (options.pool_shape != usual.pool_shape) text += " (" + text_of(pool_shapes, options.pool_shape) + ")";
  text += ", " + std::to_string(options.threads) + " threads";
  if (options.replicas != usual.replicas) {
    text +=
        ", " + std::to_string(options.replicas) + " replicas (" + text_of(routings, options.routing) + ")";
  }
  return text;
}

}  // namespace troupe::tools
