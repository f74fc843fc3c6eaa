#include "template/program.hpp"

#include <new>

#include "template/from_json.hpp"
#include "template/parser.hpp"

namespace troupe::jinja {
namespace {

Error error_of(const Failure& failure, Errc code) {
  return {failure.code == Errc::too_large ? failure.code : code, "the chat template, " + failure.message};
}

RenderedChat rendered(TextBuilder& out) {
  RenderedChat chat;
  std::size_t begin = 0;
  for (const Run& run : out.runs()) {
    if (run.origin == Origin::literal) chat.literal.push_back({begin, run.end});
    begin = run.end;
  }
  chat.text = out.take_bytes();
  return chat;
}

}  // namespace

Result<Program> Program::parse(std::string_view source, const ChatTemplateLimits& limits) {
  if (source.size() > limits.template_bytes_max) {
    return Error{Errc::too_large, "the chat template has " + std::to_string(source.size()) +
                                      " bytes; the limit is " + std::to_string(limits.template_bytes_max)};
  }
  try {
    return Program(jinja::parse(source), limits);
  } catch (const Failure& failure) {
    return error_of(failure, Errc::bad_file);
  }
}

Result<RenderedChat> Program::render(const std::vector<Variable>& variables,
                                     std::chrono::local_seconds now) const {
  // Lives longest: texts give their bytes back to its budget.
  Rendering in(limits_, now);
  try {
    const Rendering::Inside inside(in, nullptr);
    for (std::size_t symbol = 0; symbol < syntax_.names.size(); ++symbol) {
      const std::string& name = syntax_.names[symbol];
      if (const Builtin* function = find_function(name)) {
        auto& bound = in.make<BoundBuiltin>();
        bound.builtin = function;
        in.set(static_cast<Symbol>(symbol), static_cast<Object*>(&bound));
      }
      for (const Variable& variable : variables) {
        if (variable.name != name) continue;
        in.set(static_cast<Symbol>(symbol), name == "messages"
                                                ? messages_from_json(in, *variable.value)
                                                : from_json(in, *variable.value, variable.origin));
      }
    }
    TextBuilder out(in.budget);
    const Rendering::Capture capture(in, out);
    syntax_.body.run(in);
    return rendered(out);
  } catch (const Failure& failure) {
    return error_of(failure, Errc::bad_argument);
  } catch (const std::bad_alloc&) {
    return Error{Errc::too_large, "there is no memory to render the chat template"};
  }
}

}  // namespace troupe::jinja
