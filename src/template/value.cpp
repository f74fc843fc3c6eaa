#include "template/value.hpp"

#include <algorithm>
#include <cmath>

#include "base/check.hpp"
#include "base/utf8.hpp"

namespace troupe::jinja {

std::optional<Value> Object::attribute(Rendering&, std::string_view) {
  return std::nullopt;
}

Value Object::call(Rendering&, const Arguments&) {
  TROUPE_CHECK(false);  // callable() was not asked
}

std::optional<std::int64_t> Value::as_integer() const noexcept {
  if (const auto* number = get<std::int64_t>()) return *number;
  if (const auto* truth = get<bool>()) return *truth ? 1 : 0;
  return std::nullopt;
}

std::optional<double> Value::as_double() const noexcept {
  if (const auto* number = get<double>()) return *number;
  if (const auto number = as_integer()) return static_cast<double>(*number);
  return std::nullopt;
}

const Value* Dict::find(Budget& budget, const Value& key) const {
  if (const Text* text = key.text()) return find(budget, text->bytes());
  budget.step(items.size() / 4);
  for (const auto& [name, value] : items) {
    if (equal(budget, name, key)) return &value;
  }
  return nullptr;
}

const Value* Dict::find(Budget& budget, std::string_view key) const {
  budget.step(items.size() / 4);
  for (const auto& [name, value] : items) {
    const Text* text = name.text();
    if (text != nullptr && text->bytes() == key) return &value;
  }
  return nullptr;
}

void Dict::set(Budget& budget, const Value& key, Value value) {
  if (key.list() != nullptr && !key.list()->is_tuple) budget.fail("a list cannot be the key of a dict");
  if (key.dict() != nullptr) budget.fail("a dict cannot be the key of a dict");
  if (const Value* found = find(budget, key)) {
    const_cast<Value&>(*found) = std::move(value);  // of this dict, which is not const here
    return;
  }
  budget.hold(sizeof items.front());
  items.emplace_back(key, std::move(value));
}

std::optional<Value> Namespace::attribute(Rendering&, std::string_view name) {
  for (const auto& [key, value] : attributes->items) {
    if (key.text()->bytes() == name) return value;
  }
  return std::nullopt;
}

std::int64_t as_count(std::size_t size) {
  return static_cast<std::int64_t>(size);
}

bool is_true(const Value& value) {
  if (const auto* truth = value.get<bool>()) return *truth;
  if (const auto number = value.as_double()) return *number != 0;
  if (const Text* text = value.text()) return !text->empty();
  if (const List* list = value.list()) return !list->items.empty();
  if (const Dict* dict = value.dict()) return !dict->items.empty();
  return value.object() != nullptr;  // neither undefined nor none
}

bool is_callable(const Value& value) {
  return value.object() != nullptr && value.object()->callable();
}

std::string_view type_name(const Value& value) {
  if (value.is_undefined()) return "Undefined";
  if (value.is_none()) return "NoneType";
  if (value.get<bool>() != nullptr) return "bool";
  if (value.get<std::int64_t>() != nullptr) return "int";
  if (value.get<double>() != nullptr) return "float";
  if (value.text() != nullptr) return "str";
  if (value.list() != nullptr) return value.list()->type_name();
  if (value.dict() != nullptr) return value.dict()->type_name();
  return value.object()->type_name();
}

std::string described(const Value& value) {
  if (value.is_none()) return "None";
  return std::string(type_name(value)) + " object";
}

bool equal(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  if (a.as_integer() && b.as_integer()) return *a.as_integer() == *b.as_integer();
  if (a.is_number() && b.is_number()) return *a.as_double() == *b.as_double();
  if (a.text() != nullptr && b.text() != nullptr) {
    if (a.text()->bytes().size() != b.text()->bytes().size()) return false;
    budget.work(a.text()->bytes().size());
    return a.text()->bytes() == b.text()->bytes();
  }
  if (a.is_none() || a.is_undefined()) {
    return (a.is_none() && b.is_none()) || (a.is_undefined() && b.is_undefined());
  }
  const Budget::Level level(budget);
  if (a.list() != nullptr && b.list() != nullptr) {
    const List& x = *a.list();
    const List& y = *b.list();
    return x.is_tuple == y.is_tuple &&
           std::equal(x.items.begin(), x.items.end(), y.items.begin(), y.items.end(),
                      [&](const Value& p, const Value& q) { return equal(budget, p, q); });
  }
  if (a.dict() != nullptr && b.dict() != nullptr) {
    const auto& x = a.dict()->items;
    return x.size() == b.dict()->items.size() && std::all_of(x.begin(), x.end(), [&](const auto& item) {
             const Value* other = b.dict()->find(budget, item.first);
             return other != nullptr && equal(budget, item.second, *other);
           });
  }
  return a.object() != nullptr && a.object() == b.object();
}

bool less(Budget& budget, const Value& a, const Value& b) {
  budget.step();
  for (const Value* value : {&a, &b}) {
    if (const auto* undefined = value->get<Undefined>()) {
      budget.fail(undefined->why ? *undefined->why : "an undefined value has no order");
    }
  }
  if (a.as_integer() && b.as_integer()) return *a.as_integer() < *b.as_integer();
  if (a.is_number() && b.is_number()) return *a.as_double() < *b.as_double();
  if (a.text() != nullptr && b.text() != nullptr) {
    budget.work(std::min(a.text()->bytes().size(), b.text()->bytes().size()));
    return a.text()->bytes() < b.text()->bytes();  // UTF-8 sorts as its characters do
  }
  if (a.list() != nullptr && b.list() != nullptr && a.list()->is_tuple == b.list()->is_tuple) {
    const Budget::Level level(budget);
    const auto& x = a.list()->items;
    const auto& y = b.list()->items;
    for (std::size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (!equal(budget, x[i], y[i])) return less(budget, x[i], y[i]);
    }
    return x.size() < y.size();
  }
  budget.fail("'<' is not supported between " + std::string(type_name(a)) + " and " +
              std::string(type_name(b)));
}

}  // namespace troupe::jinja
