// troupe logits: the model's raw output, for comparing it with other implementations.

#include <optional>
#include <string>
#include <vector>

#include "base/try.hpp"
#include "model/evaluate.hpp"
#include "tools/cli_options.hpp"
#include "tools/engine_flags.hpp"
#include "tools/json_text.hpp"
#include "tools/number_text.hpp"
#include "tools/open_model.hpp"
#include "tools/progress_bar.hpp"
#include "tools/signals.hpp"
#include "tools/terminal.hpp"

namespace troupe::tools {
namespace {

struct LogitsFlags {
  ModelFlags model;
  EngineFlags engine;
  std::optional<std::string> prompt;
  std::optional<std::vector<Token>> tokens;
  bool all = false;
  bool json = false;
};

void declare(CommandLine& command_line, LogitsFlags& flags) {
  flags.model.declare(command_line);
  command_line.option("-p,--prompt", "TEXT",
                      "the prompt, encoded as generate does: with BOS where the vocabulary asks for it",
                      [&flags](std::string_view, const std::string& value) {
                        flags.prompt = value;
                        return Status();
                      });
  command_line.option("--tokens", "IDS", "the prompt as token ids, e.g. 1,403,407, taken as they are",
                      [&flags](std::string_view what, const std::string& value) -> Status {
                        TROUPE_TRY(flags.tokens, parse_tokens(what, value));
                        return {};
                      });
  command_line.flag("--all", "the logits of every position, not only the last", flags.all);
  command_line.flag("--json", "print {\"tokens\":[ids],\"logits\":[[…]]}", flags.json);
  flags.engine.declare(command_line);
}

std::string numbers(const std::vector<float>& row, char separator) {
  std::string out;
  out.reserve(row.size() * 12);
  for (const float value : row) {
    if (!out.empty()) out += separator;
    out += json_number(value);
  }
  return out;
}

int print_logits(const LogitsFlags& flags, const std::vector<Token>& tokens,
                 const std::vector<std::vector<float>>& logits) {
  Output output;
  if (flags.json) output.raw("{\"tokens\":" + json_tokens(tokens) + ",\"logits\":[");
  bool first = true;
  for (const std::vector<float>& row : logits) {  // row by row: a long prompt's logits are large as text
    if (!output.raw(flags.json ? (first ? "[" : ",[") + numbers(row, ',') + "]" : numbers(row, ' ') + "\n"))
      break;
    first = false;
  }
  if (flags.json) output.raw("]}\n");
  return finish_output(output, exit_ok);
}

}  // namespace

int run_logits(const Arguments& arguments) {
  CommandLine command_line(
      "logits", "[MODEL] (-p TEXT or --tokens IDS) [OPTIONS]",
      "Prints the logits that follow the prompt: one line of numbers, one per token of the "
      "vocabulary; with --all one line per position. The numbers read back as the same floats.");
  LogitsFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (const Status status = flags.model.check(); !status)
    return command_line.usage_error(status.error().message);
  if (flags.prompt.has_value() == flags.tokens.has_value()) {
    return command_line.usage_error(flags.prompt ? "give only one of -p and --tokens"
                                                 : "give -p TEXT or --tokens IDS");
  }
  install_signal_handlers(InterruptUse::once);
  const auto model = open_model(flags.model, flags.engine.options.threads, flags.tokens.has_value());
  if (!model) return report(model.error());
  if (flags.prompt) {
    auto encoded = (*model)->tokenizer().encode(*flags.prompt, {true, false});
    if (!encoded) {
      Error error = std::move(encoded).error();
      if ((*model)->tokenizer().algorithm() == "none")
        error.message += ", or give token ids with --tokens IDS";
      return report(error);
    }
    flags.tokens = *std::move(encoded);
  }
  if (const Status status = check_tokens("--tokens", *flags.tokens, (*model)->tokenizer().vocab_size());
      !status) {
    return report(status.error());
  }
  ProgressBar bar("evaluating the prompt");
  const auto logits =
      evaluate_logits(**model, *flags.tokens, flags.all, flags.engine.options, [&](double share) {
        bar.show(share);
        return !stop_requested();
      });
  bar.wipe();
  if (!logits) return report(logits.error());
  return print_logits(flags, *flags.tokens, *logits);
}

}  // namespace troupe::tools
