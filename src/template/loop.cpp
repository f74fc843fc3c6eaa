#include "template/loop.hpp"

namespace troupe::jinja {
namespace {

Loop& loop_of(const Value& self) {
  return *static_cast<Loop*>(self.object());
}

Value cycle(Call& call, const Value& self) {
  const auto& choices = call.arguments.positional;
  if (choices.empty()) call.fail("needs something to go through");
  return choices[loop_of(self).index0 % choices.size()];
}

Value changed(Call& call, const Value& self) {
  Loop& loop = loop_of(self);
  List& now = call.in.make_list();
  for (const Value& value : call.arguments.positional) now.push(call.budget, value);
  const bool is_same = loop.last_changed && equal(call.budget, *loop.last_changed, &now);
  loop.last_changed = &now;
  return !is_same;
}

constexpr Builtin methods[] = {{"cycle", "*", 0, cycle}, {"changed", "*", 0, changed}};

Undefined missing(const char* what) {
  return {std::make_shared<const std::string>(what)};
}

}  // namespace

std::optional<Value> Loop::attribute(Rendering& in, std::string_view name) {
  const std::size_t length = items->items.size();
  if (name == "index") return as_count(index0 + 1);
  if (name == "index0") return as_count(index0);
  if (name == "revindex") return as_count(length - index0);
  if (name == "revindex0") return as_count(length - index0 - 1);
  if (name == "first") return index0 == 0;
  if (name == "last") return index0 + 1 == length;
  if (name == "length") return as_count(length);
  if (name == "depth") return std::int64_t{1};  // recursive loops are refused
  if (name == "depth0") return std::int64_t{0};
  if (name == "previtem") {
    return index0 == 0 ? Value(missing("there is no previous item")) : items->items[index0 - 1];
  }
  if (name == "nextitem") {
    return index0 + 1 >= length ? Value(missing("there is no next item")) : items->items[index0 + 1];
  }
  if (const Builtin* method = find_row(methods, name)) {
    auto& bound = in.make<BoundBuiltin>();
    bound.builtin = method;
    bound.self = static_cast<Object*>(this);
    return Value(static_cast<Object*>(&bound));
  }
  return std::nullopt;
}

}  // namespace troupe::jinja
