// troupe generate: one or many prompts from the command line, a file or standard input.

#include <chrono>
#include <string>
#include <vector>

#include "base/try.hpp"
#include "tools/cli_options.hpp"
#include "tools/conversation.hpp"
#include "tools/generation_settings.hpp"
#include "tools/json_text.hpp"
#include "tools/number_text.hpp"
#include "tools/open_model.hpp"
#include "tools/progress_bar.hpp"
#include "tools/prompt_file.hpp"
#include "tools/signals.hpp"
#include "tools/statistics.hpp"
#include "tools/terminal.hpp"
#include "tools/text_layout.hpp"
#include "troupe/engine.hpp"

namespace troupe::tools {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::string_view summary =
    "Continues prompts. One prompt: its continuation is printed as it is generated. Several: each under a "
    "header, "
    "in the order of the prompts.";
constexpr std::string_view notes =
    "Only the generated text is printed, not the prompt, with a newline where it does not end in one. On a "
    "terminal "
    "its control characters are made visible (^[). With --json each prompt gives one line: index, prompt, "
    "text, "
    "tokens, finish_reason (stop, length, cancelled, deadline, or error with an error object), usage, "
    "timings. Bytes "
    "of a prompt that are no UTF-8 are shown there as U+FFFD; the model gets them as they are.\n"
    "--prompts: lines may end in CR LF; empty lines are left out (an empty prompt is -p \"\"). An argument "
    "that begins "
    "with a dash is fine as the value of an option: -p \"-1, 0, 1,\".\n"
    "--chat answers messages as 'troupe chat' does, each in a conversation of its own; 'troupe template' "
    "shows what "
    "the model gets.\n"
    "A prompt longer than the context is an error, never truncated. One prompt's error does not stop the "
    "others; the "
    "exit status is then 1. Ctrl-C ends all answers and prints what is there; exit status 130. The second "
    "Ctrl-C "
    "kills.";
constexpr auto poll_interval = std::chrono::milliseconds(50);  // how soon Ctrl-C is noticed

struct GenerateFlags {
  ModelFlags model;
  AnswerFlags answer;
  EngineFlags engine;
  std::vector<std::string> prompts;
  std::string prompt_file;
  bool chat = false;
  std::string system;
  std::uint32_t parallel = 8;
  std::uint32_t deadline_ms = 0;
  bool json = false;
  bool stats = false;
};

void declare(CommandLine& command_line, GenerateFlags& flags) {
  command_line.hint("a prompt goes behind -p");
  flags.model.declare(command_line);
  command_line.group("Prompts");
  command_line.option(
      "-p,--prompt", "TEXT", "a prompt; may be repeated",
      [&flags](std::string_view, const std::string& value) {
        flags.prompts.push_back(value);
        return Status();
      },
      CommandLine::Times::many);
  command_line.text("--prompts", "FILE", "a prompt per line, after those of -p; - is standard input",
                    flags.prompt_file);
  command_line.flag("--chat", "each prompt is a user's message, put to the model through its chat template",
                    flags.chat);
  command_line.option("--system", "TEXT", "with --chat: instructions in front of each message",
                      [&flags](std::string_view, const std::string& value) {
                        flags.system = value;
                        return Status();
                      });
  flags.model.declare_chat_template(command_line);
  flags.answer.declare(command_line, "prompt number i, from 0, uses N + i; default 0");
  flags.engine.declare(command_line);
  flags.engine.declare_prefix_cache(command_line);
  command_line.whole("--parallel", "prompts in flight at once, 1 to 1024; default 8; changes no text", 1,
                     parallel_max, flags.parallel);
  command_line.whole("--deadline-ms", "end all answers after N ms, with what they have then", 1,
                     4'000'000'000U, flags.deadline_ms);
  command_line.group("Output");
  command_line.flag("--json", "one JSON object per prompt and line", flags.json);
  command_line.flag("--stats", "tokens per second, waiting times and batch sizes on standard error",
                    flags.stats);
}

// Appends the prompts of --prompts. Errors: io, too_large, bad_argument (no prompt in the file).
Status read_prompts(GenerateFlags& flags) {
  if (flags.prompt_file.empty()) return {};
  TROUPE_TRY(const std::string text, read_text_file(flags.prompt_file));
  PromptLines lines = split_prompts(text);
  const std::string name = flags.prompt_file == "-" ? "standard input" : "'" + flags.prompt_file + "'";
  if (lines.empty_lines > 0) {
    complain("left out " + std::to_string(lines.empty_lines) +
             (lines.empty_lines == 1 ? " empty line" : " empty lines") + " of " + name);
  }
  if (lines.prompts.empty()) return Error{Errc::bad_argument, "there is no prompt in " + name};
  for (std::string& prompt : lines.prompts) flags.prompts.push_back(std::move(prompt));
  return {};
}

// The exit status that the answers ask for.
int answers_status(std::size_t failed) {
  if (stop_requested()) return stop_exit_status();
  return failed > 0 ? exit_failed : exit_ok;
}

// What a request comes to that was refused because its deadline had passed before it could begin: an answer
// without text.
Generation unbegun(const Engine& engine, const GenerationRequest& request) {
  Generation answer;
  answer.finish_reason = FinishReason::deadline;
  EncodeOptions encode;
  encode.add_special = true;
  const auto* chat = std::get_if<ChatPrompt>(&request.prompt);
  const auto tokens = chat != nullptr
                          ? engine.model().encode_chat(*chat)
                          : engine.model().tokenizer().encode(std::get<std::string>(request.prompt), encode);
  if (tokens) answer.usage.prompt_tokens = static_cast<std::uint32_t>(tokens->size());
  return answer;
}

// Answers that ended otherwise than their prompts and -n asked for.
struct CutShort {
  std::size_t by_context = 0;
  std::size_t by_deadline = 0;

  void count(const Generation& answer, const Engine& engine, const GenerationOptions& options) {
    const std::uint32_t used = answer.usage.prompt_tokens + answer.usage.completion_tokens;
    if (answer.finish_reason == FinishReason::deadline) ++by_deadline;
    if (answer.finish_reason == FinishReason::length && used >= engine.options().context_tokens &&
        answer.usage.completion_tokens < options.max_tokens)
      ++by_context;
  }

  // One line for each of the two reasons.
  void tell(const Engine& engine, const GenerateFlags& flags) const {
    const auto ended = [](std::size_t count) {
      return count == 1 ? std::string("the answer ended because ")
                        : std::to_string(count) + " answers ended because ";
    };
    if (by_context > 0) {
      complain(ended(by_context) + "the context of " + std::to_string(engine.options().context_tokens) +
               " tokens is full; --context N sets its size");
    }
    if (by_deadline > 0) {
      complain(ended(by_deadline) + "the " + std::to_string(flags.deadline_ms) +
               " ms of --deadline-ms were over");
    }
  }
};

// One prompt, token by token.
int stream_answer(Engine& engine, const GenerationRequest& request, const GenerateFlags& flags,
                  Output& output) {
  CutShort cut_short;
  Result<Stream> stream = engine.open_stream(request);
  if (!stream) {
    if (stream.error().code != Errc::deadline) return report(stream.error());
    ++cut_short.by_deadline;
    cut_short.tell(engine, flags);
    return exit_ok;
  }
  std::size_t streamed = 0;
  bool cancelled = false;
  while (true) {
    bool timed_out = false;
    const std::optional<TokenEvent> event = stream->next_for(poll_interval, timed_out);
    if (!event && !timed_out) break;
    if (event) {
      streamed += event->text.size();
      output.text(event->text);
    }
    if (!cancelled && (stop_requested() || !output.check_reader())) {
      stream->cancel();
      cancelled = true;
    }
  }
  const Result<Generation> answer = stream->result();
  if (!answer) {
    if (streamed > 0) output.raw("\n");
    return finish_output(output, report(answer.error()));
  }
  // What was held back, because it might have become a stop text, is in the result only.
  output.text(std::string_view(answer->text).substr(std::min(streamed, answer->text.size())));
  output.end_text();
  if (!answer->text.empty() && answer->text.back() != '\n') output.raw("\n");
  cut_short.count(*answer, engine, request.options);
  cut_short.tell(engine, flags);
  if (flags.stats) {
    say(describe_answer(*answer) + "\n" + describe_engine(engine.stats()));
  }
  return finish_output(output, answers_status(0));
}

// The header of one of many answers, on one line.
std::string header(std::size_t index, std::string_view prompt, const Output& output) {
  constexpr std::size_t columns = 60;
  std::string line;
  for (const char c : prompt) line += c == '\n' || c == '\r' || c == '\t' ? ' ' : c;
  const std::string title = std::to_string(index + 1) + ": " + shortened(line, columns);
  return (index > 0 ? "\n==> " : "==> ") + (output.on_terminal() ? visible(title) : title) + " <==\n";
}

struct BatchTotals {
  std::size_t failed = 0;
  std::uint64_t prompt_tokens = 0;
  std::uint64_t answer_tokens = 0;
};

void print_answer(std::size_t index, const GenerateFlags& flags, const Result<Generation>& answer,
                  Output& output) {
  const std::string& prompt = flags.prompts[index];
  if (flags.json) {
    output.raw(json_generation(index, prompt, answer) + "\n");
  } else {
    if (flags.prompts.size() > 1) output.raw(header(index, prompt, output));
    if (answer) {
      output.text(answer->text);
      output.end_text();
      if (!answer->text.empty() && answer->text.back() != '\n') output.raw("\n");
    }
  }
  if (!answer && !stop_requested())
    complain("prompt " + std::to_string(index + 1) + ": " + answer.error().message);
}

// Many prompts, or one whose answer is wanted as JSON.
int answer_batch(Engine& engine, const std::vector<GenerationRequest>& requests, const GenerateFlags& flags,
                 Output& output) {
  ProgressBar bar("answering");
  BatchTotals totals;
  CutShort cut_short;
  const auto began = Clock::now();
  BatchOptions options;
  options.parallelism_max = flags.parallel;
  options.on_progress = [&](std::size_t completed, std::size_t total) {
    // Tokens too, so that it moves before the first prompt ends. How many there will be is not known: an
    // answer may end before -n.
    const std::uint64_t tokens = engine.stats().completion_tokens;
    const double most = static_cast<double>(total) * std::max(1U, flags.answer.options.max_tokens);
    bar.show(std::to_string(completed) + "/" + std::to_string(total) + " prompts, " + std::to_string(tokens) +
                 " tokens",
             std::max(static_cast<double>(completed) / static_cast<double>(total),
                      static_cast<double>(tokens) / most));
    return !stop_requested() && output.check_reader();
  };
  options.on_result = [&](std::size_t index, const Result<Generation>& result) {
    bar.wipe();
    const bool too_late = !result && result.error().code == Errc::deadline;
    const Result<Generation> answer = too_late ? unbegun(engine, requests[index]) : result;
    print_answer(index, flags, answer, output);
    if (!answer) {
      ++totals.failed;
      return;
    }
    totals.prompt_tokens += answer->usage.prompt_tokens;
    totals.answer_tokens += answer->usage.completion_tokens;
    cut_short.count(*answer, engine, flags.answer.options);
    if (flags.stats) say("prompt " + std::to_string(index + 1) + ": " + describe_answer(*answer) + "\n");
  };
  engine.batch(requests, options);
  bar.wipe();
  cut_short.tell(engine, flags);
  if (flags.stats) {
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    say(std::to_string(requests.size()) + " prompts, " + std::to_string(totals.failed) + " failed, " +
        std::to_string(totals.prompt_tokens) + " prompt + " + std::to_string(totals.answer_tokens) +
        " answer tokens in " + fixed_decimals(seconds, 3) +
        " s: " + fixed_decimals(static_cast<double>(totals.answer_tokens) / seconds, 1) +
        " answer tokens/s\n" + describe_engine(engine.stats()));
  }
  return finish_output(output, answers_status(totals.failed));
}

}  // namespace

int run_generate(const Arguments& arguments) {
  CommandLine command_line("generate", "[MODEL] -p TEXT … [OPTIONS]", std::string(summary),
                           std::string(notes));
  GenerateFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (flags.prompts.empty() && flags.prompt_file.empty()) {
    return command_line.usage_error("no prompt given: use -p TEXT, or --prompts FILE (- is standard input)");
  }
  if (!flags.chat && (!flags.system.empty() || !flags.model.chat_template.empty())) {
    return command_line.usage_error("--system and --chat-template go with --chat");
  }
  // Reading standard input comes first: until the handlers are there, Ctrl-C simply ends the program.
  if (Status status = read_prompts(flags); !status) return report(status.error());

  install_signal_handlers(InterruptUse::once);
  const auto model = open_model(flags.model, flags.engine.options.threads);
  if (!model) return report(model.error());
  EngineOptions& engine_options = flags.engine.options;
  engine_options.pool_max = std::min<std::uint32_t>(flags.parallel, flags.prompts.size());
  // A forward pass must have room for a row of every prompt in flight.
  engine_options.step_tokens_max = std::max(engine_options.step_tokens_max, engine_options.pool_max);
  if (const Status status = check_vocabulary("--logit-bias", flags.answer.options, (*model)->tokenizer());
      !status) {
    return report(status.error());
  }
  const auto engine = Engine::start(*model, flags.engine.options);
  if (!engine) return report(engine.error());

  std::vector<GenerationRequest> requests = Engine::seeded_requests(flags.prompts, flags.answer.options);
  for (std::size_t i = 0; flags.chat && i < requests.size(); ++i) {
    Conversation conversation;
    conversation.system = flags.system;
    conversation.messages = {{"user", flags.prompts[i]}};
    requests[i].prompt = chat_prompt_of(conversation);
  }
  if (flags.deadline_ms > 0) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(flags.deadline_ms);
    for (GenerationRequest& request : requests) request.deadline = deadline;
  }
  Output output;
  if (requests.size() == 1 && !flags.json) return stream_answer(**engine, requests.front(), flags, output);
  return answer_batch(**engine, requests, flags, output);
}

}  // namespace troupe::tools
