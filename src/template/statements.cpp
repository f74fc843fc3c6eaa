// How statements run.

#include "base/utf8.hpp"
#include "template/loop.hpp"
#include "template/procedure.hpp"
#include "template/syntax.hpp"

namespace troupe::jinja {
namespace {

/// What `body` writes, in a scope of its own, through the filters.
Value captured(Rendering& in, const Block& body, const std::vector<std::unique_ptr<const Filter>>& filters) {
  TextBuilder builder(in.budget);
  {
    const Rendering::Inside inside(in, &in.scope());
    const Rendering::Capture capture(in, builder);
    body.run(in);
  }
  Value value = builder.finish();
  for (const auto& filter : filters) value = filter->apply(in, value);
  return value;
}

}  // namespace

Flow Block::run(Rendering& in) const {
  for (const auto& statement : statements) {
    in.budget.step();
    in.budget.line = statement->line;
    const Flow flow = statement->run(in);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

void Target::assign(Rendering& in, const Value& value) const {
  if (!parts.empty()) {
    const List& items = iterate(in, value);
    if (items.items.size() != parts.size()) {
      in.budget.fail("a value of " + std::to_string(items.items.size()) + " parts cannot be assigned to " +
                     std::to_string(parts.size()) + " names");
    }
    for (std::size_t i = 0; i < parts.size(); ++i) parts[i].assign(in, Value(items.items[i]));
    return;
  }
  if (attribute.empty()) return in.set(symbol, value);
  const Value* holder = in.lookup(symbol);
  auto* names = holder == nullptr ? nullptr : dynamic_cast<Namespace*>(holder->object());
  if (names == nullptr) {
    in.budget.fail("an attribute of " + in_quotes(name) + " cannot be set: it is no namespace()");
  }
  names->attributes->set(in.budget, in.make_text(attribute), value);
}

Flow Data::run(Rendering& in) const {
  in.out().append(*text);
  return Flow::next;
}

Flow Output::run(Rendering& in) const {
  const Value value = expression->evaluate(in);
  in.budget.line = line;
  append_text(in.out(), in.budget, value);
  return Flow::next;
}

Flow If::run(Rendering& in) const {
  const Budget::Level level(in.budget);
  for (const auto& [condition, block] : branches) {
    if (is_true(condition->evaluate(in))) return block.run(in);
  }
  return otherwise.run(in);
}

/// The items that the loop is to go through.
List& For::chosen(Rendering& in) const {
  const Value value = iterable->evaluate(in);
  in.budget.line = line;
  List& all = iterate(in, value);
  if (condition == nullptr) return all;
  List& some = in.make_list();
  Rendering::Inside inside(in, &in.scope());
  for (std::size_t i = 0; i < all.items.size(); ++i) {
    inside.renew();
    in.budget.line = line;
    const Value item = all.items[i];
    target.assign(in, item);
    if (is_true(condition->evaluate(in))) some.push(in.budget, item);
  }
  return some;
}

Flow For::run(Rendering& in) const {
  const Budget::Level level(in.budget);
  List& items = chosen(in);
  Rendering::Inside inside(in, &in.scope());
  if (items.items.empty()) {
    return otherwise.run(in);
  }
  Loop& state = in.make<Loop>();
  state.items = &items;
  // Not by iterator: the body may append to the list.
  for (; state.index0 < items.items.size(); ++state.index0) {
    inside.renew();
    in.budget.line = line;
    in.set(loop, static_cast<Object*>(&state));
    target.assign(in, Value(items.items[state.index0]));
    if (body.run(in) == Flow::leave_loop) break;
  }
  return Flow::next;
}

Flow Set::run(Rendering& in) const {
  const Value assigned = value->evaluate(in);
  in.budget.line = line;
  target.assign(in, assigned);
  return Flow::next;
}

Flow SetBlock::run(Rendering& in) const {
  const Budget::Level level(in.budget);
  const Value text = captured(in, body, filters);
  in.budget.line = line;
  target.assign(in, text);
  return Flow::next;
}

Flow Macro::run(Rendering& in) const {
  in.set(symbol, make_closure(in, procedure));
  return Flow::next;
}

Flow CallBlock::run(Rendering& in) const {
  const Budget::Level level(in.budget);
  const Value caller = make_closure(in, procedure);
  append_text(in.out(), in.budget, call->call(in, &caller));
  return Flow::next;
}

Flow FilterBlock::run(Rendering& in) const {
  const Budget::Level level(in.budget);
  append_text(in.out(), in.budget, captured(in, body, filters));
  return Flow::next;
}

Flow With::run(Rendering& in) const {
  const Budget::Level level(in.budget);
  std::vector<Value> evaluated;  // all before the first is assigned
  evaluated.reserve(values.size());
  for (const auto& value : values) evaluated.push_back(value.second->evaluate(in));
  const Rendering::Inside inside(in, &in.scope());
  for (std::size_t i = 0; i < values.size(); ++i) values[i].first.assign(in, evaluated[i]);
  return body.run(in);
}

Flow Do::run(Rendering& in) const {
  expression->evaluate(in);
  return Flow::next;
}

}  // namespace troupe::jinja
