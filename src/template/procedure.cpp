#include "template/procedure.hpp"

#include <algorithm>

#include "base/utf8.hpp"

namespace troupe::jinja {
namespace {

struct Closure final : Object {
  std::string_view type_name() const override { return "Macro"; }
  bool callable() const override { return true; }
  std::optional<Value> attribute(Rendering& in, std::string_view name) override;
  Value call(Rendering& in, const Arguments& arguments) override;

  const Procedure* procedure = nullptr;
  Scope* scope = nullptr;

 private:
  [[noreturn]] void fail(Rendering& in, const std::string& what) const {
    in.budget.fail("macro " + in_quotes(procedure->name) + " " + what);
  }
  void assign_parameters(Rendering& in, const Arguments& given) const;
  void assign_the_rest(Rendering& in, const Arguments& given) const;
};

std::optional<Value> Closure::attribute(Rendering& in, std::string_view name) {
  if (name == "name") return in.make_text(procedure->name);
  if (name == "arguments") {
    List& names = in.make_list();
    names.is_tuple = true;
    for (const Parameter& parameter : procedure->parameters) {
      names.push(in.budget, in.make_text(parameter.name));
    }
    return &names;
  }
  return std::nullopt;
}

void Closure::assign_parameters(Rendering& in, const Arguments& given) const {
  const auto& parameters = procedure->parameters;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    const auto named = std::find_if(given.named.begin(), given.named.end(),
                                    [&](const auto& item) { return item.first == parameter.name; });
    if (i < given.positional.size()) {
      if (named != given.named.end()) fail(in, "got two values for " + in_quotes(parameter.name));
      in.set(parameter.symbol, given.positional[i]);
    } else if (named != given.named.end()) {
      in.set(parameter.symbol, named->second);
    } else if (parameter.fallback != nullptr) {
      in.set(parameter.symbol, parameter.fallback->evaluate(in));
    } else {
      in.set(parameter.symbol, Undefined{std::make_shared<const std::string>(
                                   "parameter " + in_quotes(parameter.name) + " was not provided")});
    }
  }
}

/// What no parameter takes: varargs, kwargs and the caller, where the body speaks of them.
void Closure::assign_the_rest(Rendering& in, const Arguments& given) const {
  const auto& parameters = procedure->parameters;
  Dict* others = procedure->uses_kwargs ? &in.make<Dict>() : nullptr;
  Value caller = Undefined{std::make_shared<const std::string>("there is no caller")};
  for (const auto& [name, value] : given.named) {
    if (std::any_of(parameters.begin(), parameters.end(),
                    [&wanted = name](const Parameter& p) { return p.name == wanted; })) {
      continue;
    }
    if (name == "caller" && procedure->uses_caller) {
      caller = value;
    } else if (others != nullptr) {
      others->set(in.budget, in.make_text(name), value);
    } else {
      fail(in, "has no parameter " + in_quotes(name));
    }
  }
  if (procedure->uses_caller) in.set(procedure->caller, caller);
  if (others != nullptr) in.set(procedure->kwargs, others);
  if (procedure->uses_varargs) {
    List& more = in.make_list();
    more.is_tuple = true;
    for (std::size_t i = parameters.size(); i < given.positional.size(); ++i) {
      more.push(in.budget, given.positional[i]);
    }
    in.set(procedure->varargs, &more);
  } else if (given.positional.size() > parameters.size()) {
    fail(in, "takes at most " + std::to_string(parameters.size()) + " arguments, not " +
                 std::to_string(given.positional.size()));
  }
}

Value Closure::call(Rendering& in, const Arguments& arguments) {
  const Budget::Level level(in.budget);
  TextBuilder builder(in.budget);
  {
    const Rendering::Inside inside(in, scope);
    assign_the_rest(in, arguments);
    assign_parameters(in, arguments);
    const Rendering::Capture capture(in, builder);
    procedure->body.run(in);
  }
  return builder.finish();
}

}  // namespace

Value make_closure(Rendering& in, const Procedure& procedure) {
  auto& closure = in.make<Closure>();
  closure.procedure = &procedure;
  closure.scope = &in.scope();
  // The scopes around it too: they are given back when their blocks end, but are looked at by the closure.
  for (Scope* scope = closure.scope; scope != nullptr && !scope->is_kept; scope = scope->parent) {
    scope->is_kept = true;
  }
  return static_cast<Object*>(&closure);
}

}  // namespace troupe::jinja
