// troupe template: the prompt that a chat template makes of a conversation.

#include <boost/json.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/try.hpp"
#include "base/utf8.hpp"
#include "formats/open.hpp"
#include "template/chat_format.hpp"
#include "template/chat_variables.hpp"
#include "tokenizer/load.hpp"
#include "tools/cli_options.hpp"
#include "tools/number_text.hpp"
#include "tools/open_model.hpp"
#include "tools/prompt_file.hpp"
#include "tools/terminal.hpp"

namespace troupe::tools {
namespace {

namespace json = boost::json;

constexpr std::string_view notes =
    "The messages are a JSON array of objects such as {\"role\":\"user\",\"content\":\"Hello\"}, or an "
    "object with "
    "\"messages\" and what else the template is to see: \"tools\", \"add_generation_prompt\", any variable. "
    "The "
    "options go over the file.\n"
    "bos_token and eos_token are MODEL's. With --chat-template and no MODEL they are empty unless --set "
    "gives "
    "them: --set 'bos_token=\"<s>\"'. Where there are no tools, \"tools\" is none.\n"
    "A template is rendered as Hugging Face does it: Jinja with trim_blocks and lstrip_blocks, "
    "raise_exception, "
    "strftime_now, tojson as json.dumps(). One that ends in no time, nests without end or makes huge texts "
    "is "
    "stopped by a limit; the error names the line. On a terminal control characters are made visible.";

struct TemplateFlags {
  ModelFlags model;  // its other fields are not given here
  std::string template_file;
  std::string messages_file;
  std::string tools_file;
  bool no_generation_prompt = false;
  std::vector<std::pair<std::string, json::value>> variables;
  std::optional<std::chrono::local_seconds> now;
};

Status take_variable(TemplateFlags& flags, std::string_view what, const std::string& value) {
  const std::size_t equals = value.find('=');
  if (equals == std::string::npos || equals == 0) {
    return Error{Errc::bad_argument, std::string(what) + " must be NAME=JSON, not " + in_quotes(value, 40)};
  }
  auto parsed = parse_chat_json(std::string_view(value).substr(equals + 1),
                                std::string(what) + " " + value.substr(0, equals));
  if (!parsed) {
    Error error = std::move(parsed).error();
    error.message += R"(; a text needs quotes: ')" + value.substr(0, equals) + R"(="…"')";
    return error;
  }
  flags.variables.emplace_back(value.substr(0, equals), *std::move(parsed));
  return {};
}

/// The number that `text` spells with just these digits.
std::optional<unsigned> digits(std::string_view text) {
  unsigned number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<unsigned>(c - '0');
  }
  return number;
}

Status take_day(TemplateFlags& flags, std::string_view what, const std::string& value) {
  using namespace std::chrono;
  if (value.size() == 10 && value[4] == '-' && value[7] == '-') {
    const auto y = digits(value.substr(0, 4));
    const auto m = digits(value.substr(5, 2));
    const auto d = digits(value.substr(8, 2));
    if (y && m && d) {
      const year_month_day date(year(static_cast<int>(*y)), month(*m), day(*d));
      if (date.ok()) {
        flags.now = local_days(date);
        return {};
      }
    }
  }
  return Error{Errc::bad_argument,
               std::string(what) + " must be a day as YYYY-MM-DD, not " + in_quotes(value, 40)};
}

void declare(CommandLine& command_line, TemplateFlags& flags) {
  command_line.positional(
      "MODEL", "the model file, of which only metadata and vocabulary are read; default: the bundled model",
      flags.model.model);
  command_line.text("--chat-template", "FILE", "use the Jinja text of this file in place of the model's",
                    flags.template_file);
  command_line.text("--messages", "FILE", "the conversation as JSON; - is standard input",
                    flags.messages_file);
  command_line.text("--tools", "FILE", "the tools as a JSON array", flags.tools_file);
  command_line.flag("--no-generation-prompt", "do not end with what begins the assistant's turn",
                    flags.no_generation_prompt);
  command_line.option(
      "--set", "NAME=JSON", "a variable of the template, e.g. enable_thinking=false; may be repeated",
      [&flags](std::string_view what, const std::string& value) { return take_variable(flags, what, value); },
      CommandLine::Times::many);
  command_line.option(
      "--now", "YYYY-MM-DD",
      "the day that the template is told, at midnight; default: the clock's local time",
      [&flags](std::string_view what, const std::string& value) { return take_day(flags, what, value); });
}

Result<json::value> read_json(const std::string& path, bool wants_array) {
  TROUPE_TRY(const std::string text, read_text_file(path));
  const std::string name = path == "-" ? "standard input" : in_quotes(path);
  TROUPE_TRY(json::value value, parse_chat_json(text, name));
  if (!value.is_array() && (wants_array || !value.is_object())) {
    return Error{Errc::bad_argument,
                 name + ": not a JSON array" + (wants_array ? "" : " of messages, nor an object")};
  }
  return value;
}

Result<json::object> read_variables(const TemplateFlags& flags) {
  TROUPE_TRY(json::value conversation, read_json(flags.messages_file, false));
  json::object variables;
  if (conversation.is_object()) {
    variables = std::move(conversation.get_object());
    const json::value* messages = variables.if_contains("messages");
    if (messages == nullptr || !messages->is_array()) {
      return Error{Errc::bad_argument,
                   in_quotes(flags.messages_file) + ": \"messages\" is missing or no array"};
    }
  } else {
    variables["messages"] = std::move(conversation);
  }
  if (!flags.tools_file.empty()) {
    TROUPE_TRY(variables["tools"], read_json(flags.tools_file, true));
  }
  if (flags.no_generation_prompt) variables["add_generation_prompt"] = false;
  for (const auto& [name, value] : flags.variables) variables[name] = value;
  return variables;
}

/// The template of --chat-template alone: no model, and so no tokens of one.
Result<RenderedChat> render_alone(const std::string& source, json::object variables,
                                  const TemplateFlags& flags) {
  TROUPE_TRY(const auto parsed, ChatTemplate::parse(source));
  complete_variables(variables, {});
  return render_with(parsed->parts().program, variables, flags.now);
}

Result<RenderedChat> render(const TemplateFlags& flags) {
  TROUPE_TRY(json::object variables, read_variables(flags));
  std::string replacement;
  if (!flags.template_file.empty()) {
    TROUPE_TRY(replacement, read_chat_template(flags.template_file));
    if (!flags.model.model) return render_alone(replacement, std::move(variables), flags);
  }
  TROUPE_TRY(const std::filesystem::path path, flags.model.path());
  TROUPE_TRY(const Checkpoint checkpoint, open_checkpoint(path, {"", true}));
  TROUPE_TRY(const auto tokenizer, load_tokenizer(checkpoint));
  TROUPE_TRY(const ChatFormat format, ChatFormat::read(checkpoint.metadata, *tokenizer, replacement));
  if (!format.has_template()) {
    return Error{Errc::unsupported,
                 std::string(flags.model.model ? in_quotes(*flags.model.model) : "the bundled model") +
                     " has no chat template: " + (flags.model.model ? "" : "name a MODEL that has one, or ") +
                     "give one with --chat-template FILE"};
  }
  return format.render(std::move(variables), flags.now);
}

}  // namespace

int run_template(const Arguments& arguments) {
  CommandLine command_line(
      "template", "(MODEL or --chat-template FILE) --messages FILE [OPTIONS]",
      "Prints the prompt that a chat template makes of a conversation, exactly: no newline "
      "is added.",
      std::string(notes));
  TemplateFlags flags;
  declare(command_line, flags);
  if (const auto status = command_line.parse(arguments)) return *status;
  if (const Status status = flags.model.check(); !status)
    return command_line.usage_error(status.error().message);
  if (flags.messages_file.empty())
    return command_line.usage_error("no conversation given: use --messages FILE");
  const auto rendered = render(flags);
  if (!rendered) return report(rendered.error());
  Output output;
  output.text(rendered->text);
  output.end_text();
  return finish_output(output, exit_ok);
}

}  // namespace troupe::tools
