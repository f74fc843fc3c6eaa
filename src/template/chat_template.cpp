#include "troupe/chat_template.hpp"

#include <boost/json.hpp>

#include "base/try.hpp"
#include "template/chat_variables.hpp"

namespace troupe {

ChatTemplate::ChatTemplate(ChatTemplateParts parts)
    : parts_(std::make_unique<const ChatTemplateParts>(std::move(parts))) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::parse(std::string_view source,
                                                                const ChatTemplateLimits& limits) {
  TROUPE_TRY(jinja::Program program, jinja::Program::parse(source, limits));
  return std::make_shared<const ChatTemplate>(ChatTemplateParts{std::move(program)});
}

Result<RenderedChat> ChatTemplate::render(const ChatPrompt& chat, const SpecialTexts& tokens) const {
  TROUPE_TRY(const boost::json::object variables, variables_of(chat, tokens));
  return render_with(parts_->program, variables, chat.now);
}

Result<RenderedChat> ChatTemplate::render_json(std::string_view variables,
                                               std::optional<std::chrono::local_seconds> now) const {
  TROUPE_TRY(const boost::json::value value, parse_chat_json(variables, "the variables of the template"));
  if (!value.is_object())
    return Error{Errc::bad_argument, "the variables of the template: not a JSON object"};
  return render_with(parts_->program, value.get_object(), now);
}

}  // namespace troupe
