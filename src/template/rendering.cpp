#include "template/rendering.hpp"

namespace troupe::jinja {

List& Rendering::make_tuple(Value first, Value second) {
  List& tuple = make_list();
  tuple.is_tuple = true;
  tuple.items.reserve(2);
  tuple.push(budget, std::move(first));
  tuple.push(budget, std::move(second));
  return tuple;
}

Value Rendering::make_text(std::string_view bytes, Origin origin) {
  TextBuilder builder(budget);
  builder.append(bytes, origin);
  return builder.finish();
}

const Value* Rendering::lookup(Symbol symbol) {
  for (const Scope* scope = scope_; scope != nullptr; scope = scope->parent) {
    budget.step(1 + scope->names.size() / 8);
    for (const auto& [name, value] : scope->names) {
      if (name == symbol) return &value;
    }
  }
  return nullptr;
}

void Rendering::set(Symbol symbol, Value value) {
  budget.step(1 + scope_->names.size() / 8);
  for (auto& [name, old] : scope_->names) {
    if (name == symbol) {
      old = std::move(value);
      return;
    }
  }
  scope_->names.emplace_back(symbol, std::move(value));
}

Rendering::Inside::Inside(Rendering& in, Scope* parent) : in_(in), before_(in.scope_), parent_(parent) {
  in.scope_ = in.take_scope(parent);
}

Rendering::Inside::~Inside() {
  in_.give_back(in_.scope_);
  in_.scope_ = before_;
}

void Rendering::Inside::renew() {
  if (in_.scope_->is_kept) {
    in_.scope_ = in_.take_scope(parent_);
  } else {
    in_.scope_->names.clear();
  }
}

Scope* Rendering::take_scope(Scope* parent) {
  Scope* scope = nullptr;
  if (spare_scopes_.empty()) {
    scope = &make<Scope>();
  } else {
    scope = spare_scopes_.back();
    spare_scopes_.pop_back();
  }
  scope->parent = parent;
  return scope;
}

void Rendering::give_back(Scope* scope) {
  if (scope->is_kept) return;
  scope->names.clear();
  spare_scopes_.push_back(scope);
}

}  // namespace troupe::jinja
