// troupe generate: one or many prompts from the command line, a file or standard input.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "tools/cli_options.hpp"
#include "tools/conversation.hpp"
#include "tools/engine_flags.hpp"
#include "tools/generation_settings.hpp"
#include "tools/json_text.hpp"
#include "tools/number_text.hpp"
#include "tools/open_model.hpp"
#include "tools/progress_bar.hpp"
#include "tools/prompts.hpp"
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
    "tokens, finish_reason (stop, length, cancelled, deadline, or error with an error object), usage "
    "(prompt_tokens, completion_tokens, and cached_tokens of the prompt that were not computed again), "
    "timings. Bytes "
    "of a prompt that are no UTF-8 are shown there as U+FFFD; the model gets them as they are.\n"
    "--prompts: lines may end in CR LF; empty lines are left out (an empty prompt is -p \"\"). Lines are "
    "read as "
    "they are wanted, so a file may be larger than memory, and with --json each answer is printed when it "
    "and "
    "those before it are there, though no further line has come. An argument that begins with a dash is fine "
    "as "
    "the value of an option: -p \"-1, 0, 1,\".\n"
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
  flags.engine.declare_kv_memory(command_line);
  flags.engine.declare_prefix_cache(command_line);
  flags.engine.declare_draft_tokens(command_line);
  flags.engine.declare_replicas(command_line);
  command_line.whole("--parallel", "prompts in flight at once, 1 to 1024; default 8; changes no text", 1,
                     parallel_max, flags.parallel);
  command_line.whole("--deadline-ms", "end all answers after N ms, with what they have then", 1,
                     4'000'000'000U, flags.deadline_ms);
  command_line.group("Output");
  command_line.flag("--json", "one JSON object per prompt and line", flags.json);
  command_line.flag("--stats", "tokens per second, waiting times and batch sizes on standard error",
                    flags.stats);
}

// Whether the model can take messages: said once, and not for each prompt.
Status check_chat(const Model& model, const ModelFlags& flags) {
  if (!model.info().chat_template.empty()) return check_chat_template(model);
  return Error{Errc::unsupported, (flags.model ? in_quotes(*flags.model) : "the bundled model") +
                                      " has no chat template, which --chat needs: give one with "
                                      "--chat-template FILE"};
}

// The exit status that the answers ask for.
int answers_status(std::size_t failed) {
  if (stop_requested()) return stop_exit_status();
  return failed > 0 ? exit_failed : exit_ok;
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

void print_answer(std::size_t index, const std::string& prompt, bool with_header, bool json,
                  const Result<Generation>& answer, Output& output) {
  if (json) {
    output.raw(json_generation(index, prompt, answer) + "\n");
  } else {
    if (with_header) output.raw(header(index, prompt, output));
    if (answer) {
      output.text(answer->text);
      output.end_text();
      if (!answer->text.empty() && answer->text.back() != '\n') output.raw("\n");
    }
  }
  if (!answer && !stop_requested())
    complain("prompt " + std::to_string(index + 1) + ": " + answer.error().message);
}

// What the command line asks of each prompt.
class Requests {
 public:
  explicit Requests(const GenerateFlags& flags)
      : options_(flags.answer.options), chat_(flags.chat), system_(flags.system) {
    if (flags.deadline_ms > 0) deadline_ = Clock::now() + std::chrono::milliseconds(flags.deadline_ms);
  }

  // What the model is to get for a prompt.
  Prompt prompt(const std::string& text) const {
    if (!chat_) return text;
    Conversation conversation;
    conversation.system = system_;
    conversation.messages = {{"user", text}};
    return chat_prompt_of(conversation);
  }

  // The next prompt's: prompt i has seed + i.
  GenerationRequest make(const std::string& text) {
    GenerationRequest request;
    request.prompt = prompt(text);
    request.options = options_;
    request.options.sampling.seed += count_++;
    request.deadline = deadline_;
    return request;
  }

 private:
  GenerationOptions options_;
  bool chat_;
  std::string system_;
  std::optional<Clock::time_point> deadline_;
  std::uint64_t count_ = 0;
};

// Many prompts, or one whose answer is wanted as JSON.
int answer_batch(Engine& engine, Prompts& prompts, bool with_headers, const GenerateFlags& flags,
                 Output& output) {
  ProgressBar bar("answering");
  BatchTotals totals;
  CutShort cut_short;
  Requests requests(flags);
  const auto began = Clock::now();
  BatchOptions options;
  options.parallelism_max = flags.parallel;
  options.ready = [&] { return prompts.ready(); };
  options.on_progress = [&](std::size_t completed, std::size_t total) {
    // Tokens too, so that it moves before the first prompt ends. How many there will be is not known: an
    // answer may end before -n.
    const std::uint64_t tokens = engine.stats().completion_tokens;
    std::string label = std::to_string(completed);
    double share = prompts.share().value_or(0);
    if (total != 0) {
      const double most = static_cast<double>(total) * std::max(1U, flags.answer.options.max_tokens);
      share = std::max(static_cast<double>(completed) / static_cast<double>(total),
                       static_cast<double>(tokens) / most);
      label.append("/").append(std::to_string(total));
    }
    bar.show(label + " prompts, " + std::to_string(tokens) + " tokens", share);
    return !stop_requested() && output.check_reader();
  };
  options.on_result = [&](std::size_t index, const Result<Generation>& answer) {
    bar.wipe();
    print_answer(index, prompts.first_unanswered(), with_headers, flags.json, answer, output);
    prompts.answered();
    if (!answer) {
      ++totals.failed;
      return;
    }
    totals.prompt_tokens += answer->usage.prompt_tokens;
    totals.answer_tokens += answer->usage.completion_tokens;
    cut_short.count(*answer, engine, flags.answer.options);
    if (flags.stats) say("prompt " + std::to_string(index + 1) + ": " + describe_answer(*answer) + "\n");
  };
  std::size_t count = 0;
  if (flags.prompt_file.empty()) {
    std::vector<GenerationRequest> all;
    while (const std::string* prompt = prompts.next()) all.push_back(requests.make(*prompt));
    count = engine.batch(all, options).size();
  } else {
    const auto next = [&]() -> std::optional<GenerationRequest> {
      const std::string* prompt = prompts.next();
      return prompt != nullptr ? std::optional(requests.make(*prompt)) : std::nullopt;
    };
    count = engine.batch(next, options);
  }
  bar.wipe();
  prompts.tell_empty_lines();
  cut_short.tell(engine, flags);
  if (flags.stats) {
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    say(std::to_string(count) + " prompts, " + std::to_string(totals.failed) + " failed, " +
        std::to_string(totals.prompt_tokens) + " prompt + " + std::to_string(totals.answer_tokens) +
        " answer tokens in " + fixed_decimals(seconds, 3) +
        " s: " + fixed_decimals(static_cast<double>(totals.answer_tokens) / seconds, 1) +
        " answer tokens/s\n" + describe_engine(engine.stats()));
  }
  const int status = answers_status(totals.failed);
  return finish_output(output, prompts.failure() ? report(*prompts.failure()) : status);
}

}  // namespace

int run_generate(const Arguments& arguments) {
  CommandLine command_line("generate", "[MODEL] -p TEXT … [OPTIONS]", std::string(summary),
                           std::string(notes));
  GenerateFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (const Status status = flags.model.check(); !status)
    return command_line.usage_error(status.error().message);
  if (flags.prompts.empty() && flags.prompt_file.empty()) {
    return command_line.usage_error("no prompt given: use -p TEXT, or --prompts FILE (- is standard input)");
  }
  if (!flags.chat && (!flags.system.empty() || !flags.model.chat_template.empty())) {
    return command_line.usage_error("--system and --chat-template go with --chat");
  }
  Prompts prompts(std::move(flags.prompts));
  if (!flags.prompt_file.empty()) {
    auto file = PromptFile::open(flags.prompt_file);
    if (!file) return report(file.error());
    const std::string name = file->name();
    prompts.add_file(*std::move(file));
    // Until the handlers are there, Ctrl-C simply ends the program while it waits. Whether there is more than
    // one prompt decides how answers look, unless they are JSON: those go out before a second prompt must
    // come.
    if (Status status = prompts.expect(flags.json ? 1 : 2); !status) return report(status.error());
    if (prompts.known() == 0) {
      prompts.tell_empty_lines();
      return report({Errc::bad_argument, "there is no prompt in " + name});
    }
  }
  const bool one = prompts.all_known() && prompts.known() == 1;

  install_signal_handlers(InterruptUse::once);
  const auto model = open_model(flags.model, flags.engine.options.threads);
  if (!model) return report(model.error());
  EngineOptions& engine_options = flags.engine.options;
  engine_options.pool_max = flags.parallel;
  if (prompts.all_known()) engine_options.pool_max = std::min<std::size_t>(flags.parallel, prompts.known());
  engine_options.reader_stall_ms_max = 0;  // whoever reads in a pager may take their time
  if (const Status status = check_vocabulary("--logit-bias", flags.answer.options, (*model)->tokenizer());
      !status) {
    return report(status.error());
  }
  if (flags.chat) {
    if (const Status status = check_chat(**model, flags.model); !status) return report(status.error());
  }
  const auto engine = Engine::start(*model, flags.engine.options);
  if (!engine) return report(engine.error());

  Output output;
  if (!one || flags.json) return answer_batch(**engine, prompts, !one, flags, output);
  const int status = stream_answer(**engine, Requests(flags).make(*prompts.next()), flags, output);
  prompts.tell_empty_lines();
  return status;
}

}  // namespace troupe::tools
