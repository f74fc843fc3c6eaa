// troupe chat: a conversation on a terminal, or through a pipe.

#include <unistd.h>

#include <random>

#include "tools/chat_history.hpp"
#include "tools/chat_session.hpp"
#include "tools/cli_options.hpp"
#include "tools/engine_flags.hpp"
#include "tools/generation_settings.hpp"
#include "tools/open_model.hpp"
#include "tools/signals.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

constexpr std::string_view notes =
    "Each line is a message; \"\"\" begins and ends one of many lines; /help lists the commands. Ctrl-C "
    "stops an "
    "answer, Ctrl-D or /quit leaves.\n"
    "When standard input is no terminal, only the answers are printed: no prompts, and what commands say "
    "goes to "
    "standard error. The exit status is then 1 if a message could not be answered or a command failed.\n"
    "The conversation reaches the model through the chat template that its file brings, or --chat-template: "
    "all messages, the system text as the first. A model without one, such as the bundled one, gets plain "
    "text: the "
    "system text, a newline, then each message directly followed by its answer, the turns separated by "
    "newlines. "
    "When the conversation no longer fits the context that is said; nothing is dropped silently.\n"
    "History: $XDG_STATE_HOME/troupe/history, or ~/.local/state/troupe/history.";

struct ChatFlags {
  ModelFlags model;
  AnswerFlags answer;
  EngineFlags engine;
  std::string system;
  bool no_history = false;
  bool stats = false;
};

void declare(CommandLine& command_line, ChatFlags& flags) {
  flags.model.declare(command_line);
  command_line.option("--system", "TEXT", "instructions in front of the conversation",
                      [&flags](std::string_view, const std::string& value) {
                        flags.system = value;
                        return Status();
                      });
  flags.model.declare_chat_template(command_line);
  command_line.flag("--no-history", "neither read nor write the history file", flags.no_history);
  command_line.flag("--stats", "a line of statistics after each answer", flags.stats);
  flags.answer.declare(command_line, "answer number i, from 0, uses N + i; default: another each time");
  flags.engine.declare(command_line);
  flags.engine.declare_kv_memory(command_line);
  flags.engine.declare_prefix_cache(command_line);
  flags.engine.declare_draft_tokens(command_line);
}

std::string banner(const Engine& engine, std::size_t columns) {
  const ModelInfo& info = engine.model().info();
  const std::string text =
      info.name + " (" + info.architecture + ", " + short_count(static_cast<double>(info.parameters)) +
      " parameters, " + info.weight_types + "), context " + std::to_string(engine.options().context_tokens) +
      " tokens\n/help lists the commands; Ctrl-C stops an answer, Ctrl-D leaves.";
  std::string out;
  for (const std::string& line : wrapped(visible(text), columns)) out += line + "\n";
  return out;
}

std::uint64_t random_seed() {
  std::random_device device;
  return device();  // 32 bits: short enough to be typed again
}

}  // namespace

int run_chat(const Arguments& arguments) {
  CommandLine command_line("chat", "[MODEL] [OPTIONS]", "Talk to a model.", std::string(notes));
  ChatFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (const Status status = flags.model.check(); !status)
    return command_line.usage_error(status.error().message);

  install_signal_handlers(InterruptUse::always);
  const auto model = open_model(flags.model, flags.engine.options.threads);
  if (!model) return report(model.error());
  if (const Status status = check_vocabulary("--logit-bias", flags.answer.options, (*model)->tokenizer());
      !status) {
    return report(status.error());
  }
  if (const Status status = check_chat_template(**model); !status) return report(status.error());
  flags.engine.options.pool_max = 1;
  flags.engine.options.reader_stall_ms_max = 0;  // a terminal may be held with Ctrl-S
  const auto engine = Engine::start(*model, flags.engine.options);
  if (!engine) return report(engine.error());

  ChatSession::Options options;
  options.generation = flags.answer.options;
  if (!flags.answer.seed_given) options.generation.sampling.seed = random_seed();
  options.system = flags.system;
  options.stats = flags.stats;
  options.ui_fd = is_terminal(STDERR_FILENO) ? STDERR_FILENO : STDOUT_FILENO;
  options.interactive = is_terminal(STDIN_FILENO) && is_terminal(options.ui_fd);
  if (!options.interactive) {
    const auto lines = make_plain_lines();
    return ChatSession(**engine, *lines, options).run();
  }
  const std::string text = banner(**engine, terminal_columns(options.ui_fd));
  if (options.ui_fd == STDERR_FILENO) {
    say(text);
  } else {
    Output(STDOUT_FILENO).raw(text);
  }
  const auto lines =
      make_line_editor(options.ui_fd, flags.no_history ? "" : history_path(), chat_command_words());
  return ChatSession(**engine, *lines, options).run();
}

}  // namespace troupe::tools
