#include "template/chat_variables.hpp"

#include <boost/json.hpp>
#include <ctime>

#include "base/try.hpp"

namespace troupe {
namespace {

namespace json = boost::json;

Result<json::object> parse_object(std::string_view text, std::string_view what) {
  if (text.empty()) return json::object{};
  TROUPE_TRY(json::value value, parse_chat_json(text, what));
  if (json::object* object = value.if_object()) return std::move(*object);
  return Error{Errc::bad_argument, std::string(what) + ": not a JSON object"};
}

json::string_view view(std::string_view text) {
  return {text.data(), text.size()};
}

Result<json::value> message_json(const ChatMessage& message) {
  TROUPE_TRY(const json::object fields, parse_object(message.fields_json, "the fields of a message"));
  json::object object;
  if (!fields.contains("role")) object["role"] = view(message.role);
  if (!fields.contains("content")) object["content"] = view(message.content);
  for (const auto& field : fields) object[field.key()] = field.value();
  return json::value(std::move(object));
}

std::chrono::local_seconds local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  if (::localtime_r(&now, &parts) == nullptr) return {};
  // As if the parts were UTC: the seconds that a clock on the wall has seen.
  return std::chrono::local_seconds(std::chrono::seconds(::timegm(&parts)));
}

}  // namespace

Result<json::value> parse_chat_json(std::string_view text, std::string_view what) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 100;
  json::value value = json::parse(view(text), error, {}, options);
  if (error) return Error{Errc::bad_argument, std::string(what) + ": not JSON: " + error.message()};
  return value;
}

Result<json::object> variables_of(const ChatPrompt& chat, const SpecialTexts& tokens) {
  json::object variables;
  json::array messages;
  for (const ChatMessage& message : chat.messages) {
    TROUPE_TRY(json::value object, message_json(message));
    messages.push_back(std::move(object));
  }
  variables["messages"] = std::move(messages);
  variables["add_generation_prompt"] = chat.add_generation_prompt;
  if (!chat.tools_json.empty()) {
    TROUPE_TRY(json::value tools, parse_chat_json(chat.tools_json, "the tools"));
    if (!tools.is_array()) return Error{Errc::bad_argument, "the tools: not a JSON array"};
    if (!tools.get_array().empty()) variables["tools"] = std::move(tools);
  }
  TROUPE_TRY(const json::object more, parse_object(chat.variables_json, "the variables of the template"));
  for (const auto& variable : more) variables[variable.key()] = variable.value();
  complete_variables(variables, tokens);
  return variables;
}

void complete_variables(json::object& variables, const SpecialTexts& tokens) {
  variables.emplace("bos_token", view(tokens.bos));
  variables.emplace("eos_token", view(tokens.eos));
  variables.emplace("tools", nullptr);
  variables.emplace("documents", nullptr);
  variables.emplace("add_generation_prompt", true);
}

Result<RenderedChat> render_with(const jinja::Program& program, const json::object& variables,
                                 std::optional<std::chrono::local_seconds> now) {
  std::vector<jinja::Program::Variable> rows;
  rows.reserve(variables.size());
  for (const auto& item : variables) {
    const std::string_view name(item.key().data(), item.key().size());
    const bool is_literal = name == "bos_token" || name == "eos_token";
    rows.push_back({name, &item.value(), is_literal ? jinja::Origin::literal : jinja::Origin::input});
  }
  return program.render(rows, now ? *now : local_time());
}

}  // namespace troupe
