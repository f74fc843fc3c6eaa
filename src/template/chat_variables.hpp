#pragma once
// What a template is given.

#include <boost/json/object.hpp>

#include "template/program.hpp"

namespace troupe {

/// The variables for `chat`, complete. Errors: bad_argument (JSON of `chat` is broken).
Result<boost::json::object> variables_of(const ChatPrompt& chat, const SpecialTexts& tokens);

/// Adds what every template may count on, where `variables` do not say otherwise: bos_token, eos_token, tools
/// and documents (none), add_generation_prompt (true). Hugging Face passes tools and documents in any case,
/// so that "tools is defined" is true without tools.
void complete_variables(boost::json::object& variables, const SpecialTexts& tokens);

/// Renders with these variables and nothing else.
Result<RenderedChat> render_with(const jinja::Program& program, const boost::json::object& variables,
                                 std::optional<std::chrono::local_seconds> now);

/// Parses what a caller brought as JSON; `what` begins the error. Nests at most 100 deep: tools do some 10.
Result<boost::json::value> parse_chat_json(std::string_view text, std::string_view what);

/// What is behind a ChatTemplate.
struct ChatTemplateParts {
  jinja::Program program;
};

}  // namespace troupe
