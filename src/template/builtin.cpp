#include "template/builtin.hpp"

#include "base/utf8.hpp"

namespace troupe::jinja {
namespace {

/// The first of the names, which is taken off.
std::string_view next_name(std::string_view& names) {
  const std::size_t end = std::min(names.find(' '), names.size());
  const std::string_view name = names.substr(0, end);
  names.remove_prefix(std::min(end + 1, names.size()));
  return name;
}

std::string_view name_at(std::string_view names, std::size_t index) {
  std::string_view name = next_name(names);
  for (; index > 0; --index) name = next_name(names);
  return name;
}

}  // namespace

Call::Call(Rendering& rendering, const Builtin& callee, const Arguments& given)
    : in(rendering), budget(rendering.budget), builtin(callee), arguments(given) {
  if (builtin.parameters == "*") return;
  std::size_t count = 0;
  for (std::string_view names = builtin.parameters; !names.empty(); ++count) next_name(names);
  if (given.positional.size() > count) {
    fail("takes at most " + std::to_string(count) + " arguments, not " +
         std::to_string(given.positional.size()));
  }
  for (std::size_t i = 0; i < given.positional.size(); ++i) bound_[i] = &given.positional[i];
  for (const auto& [name, value] : given.named) {
    std::size_t index = 0;
    while (index < count && name_at(builtin.parameters, index) != name) ++index;
    if (index == count) fail("has no parameter " + in_quotes(name));
    if (bound_[index] != nullptr) fail("got two values for " + in_quotes(name));
    bound_[index] = &value;
  }
  for (std::size_t i = 0; i < builtin.required; ++i) {
    if (bound_[i] == nullptr) fail("needs " + in_quotes(name_at(builtin.parameters, i)));
  }
}

void Call::fail(const std::string& what) const {
  budget.fail(in_quotes(builtin.name) + " " + what);
}

std::int64_t Call::integer(std::size_t index, std::int64_t fallback) const {
  if (lacks(index)) return fallback;
  return integer_of(in, *at(index), builtin.name);
}

bool Call::truth(std::size_t index, bool fallback) const {
  return has(index) ? is_true(*at(index)) : fallback;
}

TextPtr Call::text(std::size_t index) const {
  return has(index) ? to_text(budget, *at(index)) : nullptr;
}

Value run_builtin(Rendering& in, const Builtin& builtin, const Value& self, const Arguments& arguments) {
  in.budget.step();
  const Budget::Level level(in.budget);
  Call call(in, builtin, arguments);
  return builtin.run(call, self);
}

const Builtin* find_filter(std::string_view name) {
  if (const Builtin* found = find_text_filter(name)) return found;
  if (const Builtin* found = find_list_filter(name)) return found;
  if (const Builtin* found = find_choosing_filter(name)) return found;
  return find_number_filter(name);
}

const Builtin* find_method(const Value& object, std::string_view name) {
  return object.text() != nullptr ? find_text_method(name) : find_container_method(object, name);
}

Value attribute_path(Rendering& in, const Value& item, const Value& path) {
  if (path.is_none()) return item;
  const Text* text = path.text();
  if (text == nullptr) return item_of(in, item, path);
  Value value = item;
  std::string_view rest = text->bytes();
  while (true) {
    in.budget.step();
    const std::size_t dot = std::min(rest.find('.'), rest.size());
    const std::string_view part = rest.substr(0, dot);
    const bool is_number =
        !part.empty() && part.size() < 18 && part.find_first_not_of("0123456789") == std::string_view::npos;
    value = item_of(in, value,
                    is_number ? Value(std::int64_t{std::stoll(std::string(part))}) : in.make_text(part));
    if (dot == rest.size()) return value;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace troupe::jinja
