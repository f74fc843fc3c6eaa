// troupe perplexity: how well a model predicts a text.

#include "model/perplexity.hpp"

#include <cstdio>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/try.hpp"
#include "tools/cli_options.hpp"
#include "tools/engine_flags.hpp"
#include "tools/open_model.hpp"
#include "tools/progress_bar.hpp"
#include "tools/prompt_file.hpp"
#include "tools/signals.hpp"
#include "tools/terminal.hpp"

namespace troupe::tools {
namespace {

struct PerplexityFlags {
  ModelFlags model;
  EngineFlags engine;
  std::optional<std::string> file;
  std::uint32_t windows = 0;
  bool json = false;
};

void declare(CommandLine& command_line, PerplexityFlags& flags) {
  flags.model.declare(command_line);
  command_line.positional("FILE", "the text, every byte of it; - is standard input", flags.file);
  command_line.whole("--windows", "use the first so many windows of the text; default: all of them", 1,
                     UINT32_MAX, flags.windows);
  command_line.flag("--json",
                    "print {\"perplexity\",\"tokens\",\"windows\",\"context\",\"scored\",\"standard_error\"}",
                    flags.json);
  flags.engine.declare(command_line, "tokens of a window, 4 to 16777216; default: 512");
}

std::string number(double value, const char* format = "%.6f") {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string plain(const Perplexity& p) {
  return "perplexity " + number(p.perplexity, "%.4f") + " ± " + number(p.standard_error, "%.4f") + ", " +
         std::to_string(p.scored) + " tokens scored in " + std::to_string(p.windows) + " windows of " +
         std::to_string(p.window_tokens) + "\n";
}

std::string as_json(const Perplexity& p, std::size_t tokens) {
  return "{\"perplexity\":" + number(p.perplexity) + ",\"tokens\":" + std::to_string(tokens) +
         ",\"windows\":" + std::to_string(p.windows) + ",\"context\":" + std::to_string(p.window_tokens) +
         ",\"scored\":" + std::to_string(p.scored) + ",\"standard_error\":" + number(p.standard_error) +
         "}\n";
}

Result<std::string> measure(const PerplexityFlags& flags) {
  TROUPE_TRY(const std::string text, read_text_file(*flags.file));
  TROUPE_TRY(const auto model, open_model(flags.model, flags.engine.options.threads));
  TROUPE_TRY(const std::vector<Token> tokens, model->tokenizer().encode(text, {true, false}));
  PerplexityOptions options;
  options.window_tokens = flags.engine.options.context_tokens;
  options.windows_max = flags.windows;
  options.threads = flags.engine.options.threads;
  options.kv_precision = flags.engine.options.kv_precision;
  ProgressBar bar("perplexity");
  TROUPE_TRY(const Perplexity result, evaluate_perplexity(*model, tokens, options, [&](double share) {
               bar.show(share);
               return !stop_requested();
             }));
  bar.wipe();
  return flags.json ? as_json(result, tokens.size()) : plain(result);
}

}  // namespace

int run_perplexity(const Arguments& arguments) {
  CommandLine command_line(
      "perplexity", "[MODEL] FILE [OPTIONS]",
      "Prints the perplexity of a text: e to the mean surprise, in nats, at each of its tokens. Lower is "
      "better; that of guessing evenly is the size of the vocabulary.",
      "The text, encoded as a whole, is cut into windows of --context tokens; the rest at its end is left "
      "out. The first token of each is replaced by BOS where the vocabulary adds one, and the tokens of its "
      "second half are scored. Only perplexities of the same text, window and vocabulary compare.");
  PerplexityFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  // A single argument is the text for the bundled model, unless it can only be a model without its text.
  if (flags.model.model && !flags.file && !has_model_extension(*flags.model.model))
    flags.file = std::exchange(flags.model.model, {});
  if (const Status status = flags.model.check(); !status)
    return command_line.usage_error(status.error().message);
  if (!flags.file || flags.file->empty()) {
    return command_line.usage_error(flags.model.model
                                        ? "'" + *flags.model.model +
                                              "' was taken for the MODEL; give the FILE with the text"
                                        : std::string("give the FILE with the text"));
  }
  install_signal_handlers(InterruptUse::once);
  const auto text = measure(flags);
  if (!text) return report(text.error());
  Output output;
  output.raw(*text);
  return finish_output(output, exit_ok);
}

}  // namespace troupe::tools
