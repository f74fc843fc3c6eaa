// The / commands of chat.

#include <array>
#include <cstdlib>
#include <filesystem>

#include "tools/chat_session.hpp"
#include "tools/generation_settings.hpp"
#include "tools/statistics.hpp"
#include "tools/text_layout.hpp"
#include "tools/token_lines.hpp"
#include "tools/transcript.hpp"

namespace troupe::tools {
namespace {

struct CommandHelp {
  const char* usage;
  const char* text;
};

constexpr std::array<CommandHelp, 11> commands = {{
    {"/help", "this list"},
    {"/set NAME VALUE",
     "change a setting of the answers; /set alone lists them; the value none clears stop and logit-bias"},
    {"/show", "the model, the settings and the conversation so far"},
    {"/system TEXT", "instructions in front of the conversation; /system off removes them"},
    {"/clear", "forget the conversation, keep settings and system text"},
    {"/regen", "answer the last message anew"},
    {"/save FILE", "write the conversation to a file"},
    {"/load FILE", "go on with a conversation from a file"},
    {"/stats", "the time that the last answer took, and the engine's numbers"},
    {"/tokens TEXT", "the tokens of a text; without TEXT, how long the conversation is"},
    {"/quit", "leave; Ctrl-D does too"},
}};

std::string with_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  if (home == nullptr || path.compare(0, 2, "~/") != 0) return path;
  return home + path.substr(1);
}

std::vector<std::pair<std::string, std::string>> setting_rows(const GenerationOptions& options) {
  std::vector<std::pair<std::string, std::string>> rows;
  rows.reserve(generation_settings().size());
  for (const GenerationSetting& setting : generation_settings()) {
    rows.emplace_back(setting.name, setting.show(options));
  }
  return rows;
}

std::string without_last_newline(std::string text) {
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string plural(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace

std::vector<std::string> chat_command_words() {
  std::vector<std::string> words;
  for (const CommandHelp& entry : commands) words.emplace_back(split_word(entry.usage).first);
  for (const GenerationSetting& setting : generation_settings())
    words.push_back("/set " + std::string(setting.name));
  return words;
}

void ChatSession::command(const std::string& name, const std::string& argument) {
  for (const char* alone : {"help", "?", "show", "clear", "regen", "stats", "quit", "exit"}) {
    if (name == alone && !argument.empty())
      return problem("/" + name + " stands alone; '" + argument + "' means nothing to it");
  }
  if (name == "help" || name == "?") return help();
  if (name == "set") return set(argument);
  if (name == "show") return show();
  if (name == "system") return system(argument);
  if (name == "clear") return clear();
  if (name == "regen") return regenerate();
  if (name == "save") return save(with_home(without_quotes(argument)));
  if (name == "load") return load(with_home(without_quotes(argument)));
  if (name == "stats") return stats();
  if (name == "tokens") return tokens(argument);
  if (name == "quit" || name == "exit") {
    quit_ = true;
    return;
  }
  problem("there is no command /" + name +
          "; /help lists them. A message that begins with / goes between \"\"\"");
}

void ChatSession::help() {
  std::vector<std::pair<std::string, std::string>> rows;
  rows.reserve(commands.size() + 2);
  for (const CommandHelp& entry : commands) rows.emplace_back(entry.usage, entry.text);
  rows.emplace_back("\"\"\"", "begins and ends a message of many lines");
  rows.emplace_back("Ctrl-C", "stops an answer, or drops the line that is being typed");
  note(without_last_newline(definition_list(rows, columns())));
}

void ChatSession::set(const std::string& argument) {
  const auto [name, value] = split_word(argument);
  if (name.empty()) {
    std::vector<std::pair<std::string, std::string>> rows;
    for (const GenerationSetting& setting : generation_settings()) {
      rows.emplace_back(std::string(setting.name) + " = " + setting.show(options_.generation), setting.help);
    }
    return note(without_last_newline(definition_list(rows, columns())));
  }
  const GenerationSetting* setting = find_generation_setting(name);
  if (setting == nullptr) return problem("there is no setting '" + std::string(name) + "'; /set lists them");
  GenerationOptions changed = options_.generation;
  if (setting->repeats && (value.empty() || value == "none")) {
    setting->clear(changed);
  } else if (const Status status = setting->set(changed, name, unescaped_value(value)); !status) {
    return problem(status.error().message);
  }
  if (const Status status = check_vocabulary(name, changed, engine_.model().tokenizer()); !status)
    return problem(status.error().message);
  options_.generation = std::move(changed);
  if (setting->name == "seed") answers_ = 0;  // the next answer uses this very seed
  note(std::string(setting->name) + " = " + setting->show(options_.generation));
}

void ChatSession::show() {
  const ModelInfo& info = engine_.model().info();
  std::vector<std::pair<std::string, std::string>> rows = {
      {"model", info.name + " (" + info.architecture + ", " + info.format + ", " + info.weight_types + ", " +
                    short_count(static_cast<double>(info.parameters)) + " parameters)"},
      {"context", std::to_string(engine_.options().context_tokens) + " tokens"},
      {"template",
       info.chat_template.empty() ? "none: the conversation is plain text" : "the model's chat template"},
      {"threads", std::to_string(engine_.options().threads)},
      {"system", conversation_.system.empty() ? "none" : conversation_.system},
      {"conversation", plural(conversation_.messages.size(), "message")},
  };
  for (auto& row : setting_rows(options_.generation)) rows.push_back(std::move(row));
  rows.emplace_back("next seed", std::to_string(options_.generation.sampling.seed + answers_));
  std::string text = definition_list(rows, columns());
  for (const ChatMessage& message : conversation_.messages) {
    text += "[" + message.role + "] " + message.content + "\n";
  }
  note(without_last_newline(text));
}

void ChatSession::system(const std::string& argument) {
  if (argument == "off") {
    conversation_.system.clear();
  } else if (!argument.empty()) {
    conversation_.system = unescaped_value(argument);
  }
  if (!options_.interactive && !argument.empty()) return;
  remark(conversation_.system.empty() ? "no system text" : "system text: " + conversation_.system);
}

void ChatSession::clear() {
  conversation_.messages.clear();
  last_.reset();
  if (options_.interactive) remark("(the conversation is forgotten)");
}

void ChatSession::regenerate() {
  std::optional<ChatMessage> before;
  if (!conversation_.messages.empty() && conversation_.messages.back().role == "assistant") {
    before = std::move(conversation_.messages.back());
    conversation_.messages.pop_back();
  }
  if (conversation_.messages.empty()) {
    if (before) conversation_.messages.push_back(*std::move(before));
    return problem("there is no message to answer anew");
  }
  const std::optional<Generation> generation = answer();
  if (generation) {
    conversation_.messages.push_back({"assistant", generation->text});
    after_answer(*generation);
  } else if (before) {
    conversation_.messages.push_back(*std::move(before));
  }
}

void ChatSession::save(const std::string& path) {
  if (path.empty()) return problem("/save needs the name of a file");
  std::error_code ignored;  // what cannot be examined fails when it is written
  const bool replaced = std::filesystem::exists(path, ignored);
  if (const Status status = save_transcript(path, conversation_, engine_.model().info().name); !status) {
    return problem(status.error().message);
  }
  if (options_.interactive)
    remark("saved " + plural(conversation_.messages.size(), "message") + " to " + path +
           (replaced ? "; the conversation that was there is replaced" : ""));
}

void ChatSession::load(const std::string& path) {
  if (path.empty()) return problem("/load needs the name of a file");
  Result<Conversation> loaded = load_transcript(path);
  if (!loaded) return problem(loaded.error().message);
  conversation_ = *std::move(loaded);
  last_.reset();
  if (options_.interactive)
    remark("loaded " + plural(conversation_.messages.size(), "message") + " from " + path);
}

void ChatSession::stats() {
  const std::string answer = last_ ? "last answer: " + describe_answer(*last_) : "no answer yet";
  remark(answer + "\n" + without_last_newline(describe_engine(engine_.stats())));
}

void ChatSession::tokens(const std::string& text) {
  const Tokenizer& tokenizer = engine_.model().tokenizer();
  const bool whole = text.empty();
  const auto tokens = whole ? tokens_of(conversation_, engine_.model()) : tokenizer.encode(text);
  if (!tokens) return problem(tokens.error().message);
  if (whole) {
    return remark("the conversation has " + plural(tokens->size(), "token") + " of the context's " +
                  std::to_string(engine_.options().context_tokens));
  }
  note(token_lines(tokenizer, *tokens) + plural(tokens->size(), "token"));
}

}  // namespace troupe::tools
