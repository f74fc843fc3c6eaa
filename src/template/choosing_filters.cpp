// Filters that apply other filters and tests to each item, group items, or choose between values.

#include "base/utf8.hpp"
#include "template/builtin.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

Value default_value(Call& call, const Value& self) {
  const bool is_missing = self.is_undefined() || (call.truth(1, false) && !is_true(self));
  if (!is_missing) return self;
  return call.has(0) ? *call.at(0) : call.in.make_text("");
}

Value attribute(Call& call, const Value& self) {
  // Attributes only: a dict's keys are no attributes.
  const TextPtr name = call.text(0);
  if (const Dict* dict = self.dict(); dict != nullptr && find_method(self, name->bytes()) == nullptr) {
    return Undefined{
        std::make_shared<const std::string>("'dict object' has no attribute " + in_quotes(name->bytes()))};
  }
  return attribute_of(call.in, self, name->bytes());
}

/// The arguments behind the first `count`.
Arguments behind(const Arguments& all, std::size_t count) {
  Arguments rest;
  rest.positional.assign(all.positional.begin() + static_cast<std::ptrdiff_t>(count), all.positional.end());
  rest.named = all.named;
  return rest;
}

const Value* named(const Arguments& arguments, std::string_view name) {
  for (const auto& [key, value] : arguments.named) {
    if (key == name) return &value;
  }
  return nullptr;
}

Value map_each(Call& call, const Value& self) {
  List& mapped = call.in.make_list();
  if (!is_true(self)) return &mapped;
  const Arguments& given = call.arguments;
  const Value* path = given.positional.empty() ? named(given, "attribute") : nullptr;
  if (path != nullptr) {
    const Value* fallback = named(given, "default");
    for (const Value& item : iterate(call.in, self).items) {
      Value value = attribute_path(call.in, item, *path);
      const bool is_missing = value.is_undefined() && fallback != nullptr && !fallback->is_none();
      mapped.push(call.budget, is_missing ? *fallback : value);
    }
    return &mapped;
  }
  const Text* name = given.positional.empty() ? nullptr : given.positional.front().text();
  if (name == nullptr) call.fail("needs the name of a filter, or attribute=");
  const Builtin* filter = find_filter(name->bytes());
  if (filter == nullptr) call.fail("knows no filter " + in_quotes(name->bytes()));
  const Arguments rest = behind(given, 1);
  for (const Value& item : iterate(call.in, self).items) {
    mapped.push(call.budget, run_builtin(call.in, *filter, item, rest));
  }
  return &mapped;
}

/// The items of which a test, or their truth, is `wanted`; of their attribute when `by_attribute`.
Value chosen(Call& call, const Value& self, bool wanted, bool by_attribute) {
  List& kept = call.in.make_list();
  if (!is_true(self)) return &kept;
  const Arguments& given = call.arguments;
  const std::size_t names = by_attribute ? 1 : 0;
  if (given.positional.size() < names) call.fail("needs the name of an attribute");
  const Builtin* test = nullptr;
  Arguments rest;
  if (given.positional.size() > names) {
    const Text* name = given.positional[names].text();
    test = name == nullptr ? nullptr : find_test(name->bytes());
    if (test == nullptr) {
      call.fail("knows no test " + (name == nullptr ? "of that name" : in_quotes(name->bytes())));
    }
    rest = behind(given, names + 1);
  }
  for (const Value& item : iterate(call.in, self).items) {
    call.budget.step();
    const Value value = by_attribute ? attribute_path(call.in, item, given.positional.front()) : item;
    const bool passes = is_true(test == nullptr ? value : run_builtin(call.in, *test, value, rest));
    if (passes == wanted) kept.push(call.budget, item);
  }
  return &kept;
}

Value select(Call& call, const Value& self) {
  return chosen(call, self, true, false);
}
Value reject(Call& call, const Value& self) {
  return chosen(call, self, false, false);
}
Value select_by_attribute(Call& call, const Value& self) {
  return chosen(call, self, true, true);
}
Value reject_by_attribute(Call& call, const Value& self) {
  return chosen(call, self, false, true);
}

Value group_by(Call& call, const Value& self) {
  const bool case_sensitive = call.truth(2, false);
  std::vector<std::pair<Value, Value>> keyed;  // by the folded key: a tuple of key and item
  for (const Value& item : iterate(call.in, self).items) {
    Value key = attribute_path(call.in, item, *call.at(0));
    if (key.is_undefined() && !call.lacks(1)) key = *call.at(1);
    const bool folds = !case_sensitive && key.text() != nullptr;
    Value folded = folds ? Value(map_runs(call.budget, *key.text(), lower)) : key;
    keyed.emplace_back(std::move(folded), Value(&call.in.make_tuple(key, item)));
  }
  sort_values(call.in, keyed, false);
  List& groups = call.in.make_list();
  List* members = nullptr;
  for (std::size_t i = 0; i < keyed.size(); ++i) {
    const List& pair = *keyed[i].second.list();
    if (i == 0 || !equal(call.budget, keyed[i - 1].first, keyed[i].first)) {
      members = &call.in.make_list();
      groups.push(call.budget, &call.in.make_tuple(pair.items[0], members));
    }
    members->push(call.budget, pair.items[1]);
  }
  return &groups;
}

constexpr Builtin filters[] = {
    {"attr", "name", 1, attribute},
    {"d", "default_value boolean", 0, default_value},
    {"default", "default_value boolean", 0, default_value},
    {"groupby", "attribute default case_sensitive", 1, group_by},
    {"map", "*", 0, map_each},
    {"reject", "*", 0, reject},
    {"rejectattr", "*", 0, reject_by_attribute},
    {"select", "*", 0, select},
    {"selectattr", "*", 0, select_by_attribute},
};

}  // namespace

const Builtin* find_choosing_filter(std::string_view name) {
  return find_row(filters, name);
}

}  // namespace troupe::jinja
