#include "troupe/chat_template.hpp"

#include <boost/json.hpp>
#include <ctime>

#include "base/try.hpp"
#include "template/program.hpp"

namespace troupe {

struct ChatTemplateParts {
  jinja::Program program;
};

namespace {

namespace json = boost::json;

constexpr std::size_t json_depth_max = 100;  // tools nest some 10 deep

Result<json::value> parse_json(std::string_view text, const char* what) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = json_depth_max;
  json::value value = json::parse({text.data(), text.size()}, error, {}, options);
  if (!error) return value;
  return Error{Errc::bad_argument, std::string(what) + " of the chat are not JSON: " + error.message()};
}

Result<json::object> parse_object(std::string_view text, const char* what) {
  if (text.empty()) return json::object{};
  TROUPE_TRY(json::value value, parse_json(text, what));
  if (json::object* object = value.if_object()) return std::move(*object);
  return Error{Errc::bad_argument, std::string(what) + " of the chat are no JSON object"};
}

json::string_view view(std::string_view text) {
  return {text.data(), text.size()};
}

Result<json::value> message_json(const ChatMessage& message) {
  json::object object;
  object["role"] = view(message.role);
  object["content"] = view(message.content);
  TROUPE_TRY(const json::object fields, parse_object(message.fields_json, "the fields of a message"));
  for (const auto& field : fields) object[field.key()] = field.value();
  return json::value(std::move(object));
}

/// Everything that a template is given for `chat`.
Result<json::object> variables_of(const ChatPrompt& chat, const SpecialTexts& tokens) {
  json::object variables;
  json::array messages;
  for (const ChatMessage& message : chat.messages) {
    TROUPE_TRY(json::value object, message_json(message));
    messages.push_back(std::move(object));
  }
  variables["messages"] = std::move(messages);
  // Hugging Face passes both in any case: "tools is defined" is true without tools.
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  if (!chat.tools_json.empty()) {
    TROUPE_TRY(json::value tools, parse_json(chat.tools_json, "the tools"));
    if (!tools.is_array()) return Error{Errc::bad_argument, "the tools of the chat are no JSON array"};
    if (!tools.get_array().empty()) variables["tools"] = std::move(tools);
  }
  variables["add_generation_prompt"] = chat.add_generation_prompt;
  variables["bos_token"] = view(tokens.bos);
  variables["eos_token"] = view(tokens.eos);
  TROUPE_TRY(const json::object more, parse_object(chat.variables_json, "the variables"));
  for (const auto& variable : more) variables[variable.key()] = variable.value();
  return variables;
}

std::chrono::local_seconds local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  if (::localtime_r(&now, &parts) == nullptr) return {};
  // As if the parts were UTC: the seconds that a clock on the wall has seen.
  return std::chrono::local_seconds(std::chrono::seconds(::timegm(&parts)));
}

Result<RenderedChat> run(const jinja::Program& program, const json::object& variables,
                         std::optional<std::chrono::local_seconds> now) {
  std::vector<jinja::Program::Variable> rows;
  for (const auto& item : variables) {
    const std::string_view name(item.key().data(), item.key().size());
    const bool is_literal = name == "bos_token" || name == "eos_token";
    rows.push_back({name, &item.value(), is_literal ? jinja::Origin::literal : jinja::Origin::input});
  }
  return program.render(rows, now ? *now : local_time());
}

}  // namespace

ChatTemplate::ChatTemplate(ChatTemplateParts parts)
    : parts_(std::make_unique<const ChatTemplateParts>(std::move(parts))) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::parse(std::string_view source,
                                                                const ChatTemplateLimits& limits) {
  TROUPE_TRY(jinja::Program program, jinja::Program::parse(source, limits));
  return std::make_shared<const ChatTemplate>(ChatTemplateParts{std::move(program)});
}

Result<RenderedChat> ChatTemplate::render(const ChatPrompt& chat, const SpecialTexts& tokens) const {
  TROUPE_TRY(const json::object variables, variables_of(chat, tokens));
  return run(parts_->program, variables, chat.now);
}

Result<RenderedChat> ChatTemplate::render_json(std::string_view variables,
                                               std::optional<std::chrono::local_seconds> now) const {
  TROUPE_TRY(const json::object object, parse_object(variables, "the variables"));
  return run(parts_->program, object, now);
}

}  // namespace troupe
