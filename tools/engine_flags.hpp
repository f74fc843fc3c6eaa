#pragma once
// The options of an engine on command lines, a group for each kind of subcommand.

#include <string>

#include "tools/cli_options.hpp"
#include "troupe/options.hpp"

namespace troupe::tools {

struct EngineFlags {
  EngineOptions options;

  /// --threads, --context and --kv-type, under a title of their own. `context_help`: what --context means, if
  /// it is not the usual.
  void declare(CommandLine& command_line, const std::string& context_help = {});
  void declare_threads(CommandLine& command_line);
  void declare_kv_type(CommandLine& command_line);
  // --kv-bytes and --no-kv-overcommit, --no-prefix-cache, --draft-tokens, where requests run through an
  // engine:
  void declare_kv_memory(CommandLine& command_line);
  void declare_prefix_cache(CommandLine& command_line);
  void declare_draft_tokens(CommandLine& command_line);
  /// --replicas, --routing and --pool-shape, where many do.
  void declare_replicas(CommandLine& command_line);
};

/// "8 generators, 2 threads", and what else is not as it is by default.
std::string engine_text(const EngineOptions& options);

/// The largest --parallel: each is a generator.
constexpr std::uint32_t parallel_max = 1024;

}  // namespace troupe::tools
