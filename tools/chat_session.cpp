#include "tools/chat_session.hpp"

#include <chrono>

#include "tools/open_model.hpp"
#include "tools/signals.hpp"
#include "tools/statistics.hpp"
#include "tools/text_layout.hpp"

namespace troupe::tools {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(50);  // how soon Ctrl-C is noticed

}  // namespace

ChatSession::ChatSession(Engine& engine, LineSource& lines, Options options)
    : engine_(engine), lines_(lines), options_(std::move(options)) {
  conversation_.system = options_.system;
}

int ChatSession::run() {
  ChatInputReader reader;
  bool told_how_to_leave = false;  // since the last line; several Ctrl-C in a row need it only once
  while (!quit_ && output_.ok()) {
    const ReadLine line = lines_.read(reader.in_message() ? "... " : "> ");
    switch (line.kind) {
      case ReadLine::Kind::line: {
        told_how_to_leave = false;
        if (options_.interactive) lines_.remember(line.text);
        take(reader.take(line.text));
        break;
      }
      case ReadLine::Kind::interrupted:
        if (!options_.interactive) return stop_exit_status();
        if (line.text.empty() && !reader.in_message() && !told_how_to_leave) {
          remark("(Ctrl-D or /quit leaves)");
          told_how_to_leave = true;
        }
        reader.reset();
        break;
      case ReadLine::Kind::terminated: return stop_exit_status();
      case ReadLine::Kind::failed: complain(line.text); return exit_failed;
      case ReadLine::Kind::end:
        if (reader.in_message())
          problem("the input ended inside a message that \"\"\" had opened; it was not sent");
        quit_ = true;
        break;
    }
    if (stop_requested()) {
      if (!options_.interactive || terminated() != 0) return stop_exit_status();
      static_cast<void>(take_interrupt());
    }
  }
  return finish_output(output_, failed_ && !options_.interactive ? exit_failed : exit_ok);
}

void ChatSession::take(const ChatInput& input) {
  switch (input.kind) {
    case ChatInput::Kind::nothing: break;
    case ChatInput::Kind::message: converse(input.text); break;
    case ChatInput::Kind::command: command(input.name, input.argument); break;
  }
}

void ChatSession::converse(const std::string& text) {
  conversation_.messages.push_back({"user", text});
  const std::optional<Generation> generation = answer();
  if (!generation) {
    conversation_.messages.pop_back();  // so that the user can try again, or try something else
    return;
  }
  conversation_.messages.push_back({"assistant", generation->text});
  after_answer(*generation);
}

// Answers the conversation as it is, printing the text as it comes; nothing when there was an error, which
// the user has then been told.
std::optional<Generation> ChatSession::answer() {
  GenerationRequest request;
  request.prompt = prompt_of(conversation_, engine_.model());
  request.options = options_.generation;
  request.options.sampling.seed += answers_++;
  Result<Stream> stream = engine_.open_stream(request);
  if (!stream) {
    const bool forgetting_helps =
        stream.error().code == Errc::context_exceeded && conversation_.messages.size() > 1;
    problem(stream.error().message + (forgetting_helps ? "; /clear forgets the conversation" : ""));
    return std::nullopt;
  }
  std::size_t streamed = 0;
  bool cancelled = false;
  char last = '\n';
  const auto print = [&](std::string_view text) {
    if (text.empty()) return;
    output_.text(text);
    last = text.back();
  };
  while (true) {
    bool timed_out = false;
    const std::optional<TokenEvent> event = stream->next_for(poll_interval, timed_out);
    if (!event && !timed_out) break;
    lines_.attend();
    if (!cancelled && (stop_requested() || !output_.check_reader())) {
      stream->cancel();
      cancelled = true;
    }
    if (event && !cancelled) {
      streamed += event->text.size();
      print(event->text);
    }
  }
  Result<Generation> result = stream->result();
  if (!result) {
    if (last != '\n') output_.raw("\n");
    problem(result.error().message);
    return std::nullopt;
  }
  // After Ctrl-C nothing more is printed, and what was not printed was not said.
  if (cancelled) result->text.resize(std::min(streamed, result->text.size()));
  print(std::string_view(result->text).substr(std::min(streamed, result->text.size())));
  output_.end_text();
  if (last != '\n') output_.raw("\n");
  return *std::move(result);
}

void ChatSession::after_answer(const Generation& answer) {
  last_ = answer;
  const std::uint32_t used = answer.usage.prompt_tokens + answer.usage.completion_tokens;
  const std::uint32_t context = engine_.options().context_tokens;
  if (answer.finish_reason == FinishReason::cancelled) {
    if (options_.interactive) remark("(stopped)");
  } else if (answer.finish_reason == FinishReason::length && used >= context) {
    remark("(the context is full: " + std::to_string(answer.usage.prompt_tokens) +
           " tokens of conversation + " + std::to_string(answer.usage.completion_tokens) +
           " of answer = " + std::to_string(context) + "; /clear forgets the conversation)");
  } else if (answer.finish_reason == FinishReason::length && options_.interactive &&
             options_.generation.max_tokens > 0) {
    remark("(cut at " + std::to_string(answer.usage.completion_tokens) +
           " tokens; /set max-tokens N allows more)");
  }
  if (options_.stats) remark(describe_answer(answer));
}

void ChatSession::note(std::string_view text) {
  const std::string line = visible(text) + "\n";
  if (options_.interactive && options_.ui_fd == 1) {
    output_.raw(line);
  } else {
    say(line);
  }
}

void ChatSession::remark(std::string_view text) {
  if (!options_.interactive) return note(text);
  std::string lines;
  for (const std::string& line : wrapped(visible(text), columns()))
    lines += lines.empty() ? line : "\n" + line;
  note(lines);
}

void ChatSession::problem(std::string_view text) {
  failed_ = true;
  if (options_.interactive) {
    remark(text);
  } else {
    complain(text);
  }
}

std::size_t ChatSession::columns() const {
  return options_.interactive ? terminal_columns(options_.ui_fd) : 80;
}

}  // namespace troupe::tools
