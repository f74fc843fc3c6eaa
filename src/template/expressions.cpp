// How expressions are evaluated.

#include "base/utf8.hpp"
#include "template/syntax.hpp"

namespace troupe::jinja {
namespace {

Value value_or_none(Rendering& in, const ExpressionPtr& expression) {
  return expression == nullptr ? Value(None{}) : expression->evaluate(in);
}

}  // namespace

Value Name::compute(Rendering& in) const {
  const Value* value = in.lookup(symbol);
  return value != nullptr ? *value : Value(if_unknown);
}

Value ListDisplay::compute(Rendering& in) const {
  List& list = in.make_list();
  list.is_tuple = is_tuple;
  for (const auto& item : items) list.push(in.budget, item->evaluate(in));
  return &list;
}

Value DictDisplay::compute(Rendering& in) const {
  auto& dict = in.make<Dict>();
  for (const auto& [key, value] : items) {
    const Value name = key->evaluate(in);
    dict.set(in.budget, name, value->evaluate(in));
  }
  return &dict;
}

Value Attribute::compute(Rendering& in) const {
  const Value value = object->evaluate(in);
  in.budget.line = line;
  return attribute_of(in, value, name);
}

Value Item::compute(Rendering& in) const {
  const Value value = object->evaluate(in);
  const Value index = key->evaluate(in);
  in.budget.line = line;
  return item_of(in, value, index);
}

Value Slice::compute(Rendering& in) const {
  const Value value = object->evaluate(in);
  const Value from = value_or_none(in, begin);
  const Value to = value_or_none(in, end);
  const Value by = value_or_none(in, step);
  in.budget.line = line;
  return slice_of(in, value, from, to, by);
}

Arguments ArgumentList::evaluate(Rendering& in) const {
  Arguments arguments;
  arguments.positional.reserve(positional.size());
  for (const auto& argument : positional) arguments.positional.push_back(argument->evaluate(in));
  for (const auto& [name, argument] : named) arguments.named.emplace_back(name, argument->evaluate(in));
  if (more != nullptr) {
    const List& items = iterate(in, more->evaluate(in));
    in.budget.hold(items.items.size() * sizeof(Value));  // until the end: such calls are rare
    arguments.positional.insert(arguments.positional.end(), items.items.begin(), items.items.end());
  }
  if (more_named != nullptr) {
    const Value value = more_named->evaluate(in);
    const Dict* dict = value.dict();
    if (dict == nullptr) in.budget.fail("'**' needs a dict, not " + std::string(type_name(value)));
    for (const auto& [key, item] : dict->items) {
      if (key.text() == nullptr) in.budget.fail("'**' needs a dict whose keys are strings");
      in.budget.hold(sizeof(Value) + key.text()->bytes().size());
      arguments.named.emplace_back(key.text()->bytes(), item);
    }
  }
  return arguments;
}

Value CallExpression::call(Rendering& in, const Value* caller) const {
  // A method is called where it is found, without becoming a value first.
  if (const auto* member = dynamic_cast<const Attribute*>(callee.get())) {
    const Value object = member->object->evaluate(in);
    Arguments given = arguments.evaluate(in);
    if (caller != nullptr) given.named.emplace_back("caller", *caller);
    in.budget.line = line;
    if (const Builtin* method = find_method(object, member->name)) {
      return run_builtin(in, *method, object, given);
    }
    return call_value(in, attribute_of(in, object, member->name), given);
  }
  const Value function = callee->evaluate(in);
  Arguments given = arguments.evaluate(in);
  if (caller != nullptr) given.named.emplace_back("caller", *caller);
  in.budget.line = line;
  return call_value(in, function, given);
}

Value Filter::apply(Rendering& in, const Value& value) const {
  const Arguments given = arguments.evaluate(in);
  in.budget.line = line;
  if (builtin == nullptr) in.budget.fail("there is no filter " + in_quotes(name));
  return run_builtin(in, *builtin, value, given);
}

Value Filter::compute(Rendering& in) const {
  return apply(in, input->evaluate(in));
}

Value Test::compute(Rendering& in) const {
  const Value value = input->evaluate(in);
  const Arguments given = arguments.evaluate(in);
  in.budget.line = line;
  if (builtin == nullptr) in.budget.fail("there is no test " + in_quotes(name));
  return run_builtin(in, *builtin, value, given);
}

Value Conditional::compute(Rendering& in) const {
  if (is_true(condition->evaluate(in))) return then->evaluate(in);
  if (otherwise != nullptr) return otherwise->evaluate(in);
  return Undefined{};
}

Value Junction::compute(Rendering& in) const {
  Value value = left->evaluate(in);
  return is_true(value) == is_and ? right->evaluate(in) : value;
}

Value Not::compute(Rendering& in) const {
  return !is_true(operand->evaluate(in));
}

Value Sign::compute(Rendering& in) const {
  const Value value = operand->evaluate(in);
  in.budget.line = line;
  const Value opposite = negated(in, value);  // checks the type for both
  if (is_minus) return opposite;
  return value.get<bool>() != nullptr ? Value(*value.as_integer()) : value;
}

Value Arithmetic::compute(Rendering& in) const {
  const Value a = left->evaluate(in);
  const Value b = right->evaluate(in);
  in.budget.line = line;
  return calculate(in, op, a, b);
}

Value Concatenation::compute(Rendering& in) const {
  TextBuilder builder(in.budget);
  for (const auto& part : parts) {
    const Value value = part->evaluate(in);
    in.budget.line = line;
    append_text(builder, in.budget, value);
  }
  return builder.finish();
}

bool compare(Rendering& in, Comparison::Kind kind, const Value& a, const Value& b) {
  switch (kind) {
    case Comparison::Kind::equal: return equal(in.budget, a, b);
    case Comparison::Kind::not_equal: return !equal(in.budget, a, b);
    case Comparison::Kind::less: return less(in.budget, a, b);
    case Comparison::Kind::greater: return less(in.budget, b, a);
    case Comparison::Kind::less_equal: return less(in.budget, a, b) || equal(in.budget, a, b);
    case Comparison::Kind::greater_equal: return less(in.budget, b, a) || equal(in.budget, a, b);
    case Comparison::Kind::in: return contains(in, b, a);
    case Comparison::Kind::not_in: return !contains(in, b, a);
  }
  return false;
}

Value Comparison::compute(Rendering& in) const {
  Value left = first->evaluate(in);
  for (const auto& [kind, expression] : others) {
    Value right = expression->evaluate(in);
    in.budget.line = line;
    if (!compare(in, kind, left, right)) return false;
    left = std::move(right);
  }
  return true;
}

}  // namespace troupe::jinja
