// Methods of list, tuple and dict. Those that change one are here too, though Jinja's immutable sandbox
// refuses them: templates for other renderers use them, and what they change ends with the rendering.

#include <algorithm>

#include "base/utf8.hpp"
#include "template/builtin.hpp"

namespace troupe::jinja {
namespace {

std::string shown(const Call& call, const Value& value) {
  TextBuilder repr(call.budget);
  append_repr(repr, call.budget, value);
  return printable(repr.bytes());
}

std::optional<std::size_t> place_of_item(Call& call, const List& list, const Value& item) {
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (equal(call.budget, list.items[i], item)) return i;
  }
  return std::nullopt;
}

Value append(Call& call, const Value& self) {
  self.list()->push(call.budget, *call.at(0));
  return None{};
}

Value extend(Call& call, const Value& self) {
  const std::vector<Value> items = iterate(call.in, *call.at(0)).items;  // a copy: it may be the list itself
  call.budget.step(items.size());
  for (const Value& item : items) self.list()->push(call.budget, item);
  return None{};
}

Value insert(Call& call, const Value& self) {
  auto& items = self.list()->items;
  const std::int64_t size = as_count(items.size());
  const std::int64_t index = call.integer(0, 0);
  const std::int64_t place = std::clamp<std::int64_t>(index < 0 ? index + size : index, 0, size);
  call.budget.step(items.size());
  call.budget.hold(sizeof(Value));
  std::vector<Value> longer(items.begin(), items.begin() + place);
  longer.push_back(*call.at(1));
  longer.insert(longer.end(), items.begin() + place, items.end());
  items.swap(longer);
  return None{};
}

Value pop_item(Call& call, const Value& self) {
  auto& items = self.list()->items;
  const std::int64_t index = call.integer(0, -1);
  const std::int64_t place = index < 0 ? index + as_count(items.size()) : index;
  if (place < 0 || place >= as_count(items.size())) call.fail("goes outside of the list");
  call.budget.step(items.size() / 8);
  const Value item = items[static_cast<std::size_t>(place)];
  items.erase(items.begin() + place);
  return item;
}

Value remove(Call& call, const Value& self) {
  const auto place = place_of_item(call, *self.list(), *call.at(0));
  if (!place) call.fail("does not find " + shown(call, *call.at(0)));
  call.budget.step(self.list()->items.size() / 8);
  self.list()->items.erase(self.list()->items.begin() + static_cast<std::ptrdiff_t>(*place));
  return None{};
}

Value reverse(Call& call, const Value& self) {
  auto& items = self.list()->items;
  call.budget.step(items.size());
  std::vector<Value>(items.rbegin(), items.rend()).swap(items);
  return None{};
}

Value clear_list(Call&, const Value& self) {
  self.list()->items.clear();
  return None{};
}

Value copy_list(Call& call, const Value& self) {
  return slice_of(call.in, self, None{}, None{}, None{});
}

Value index(Call& call, const Value& self) {
  const auto place = place_of_item(call, *self.list(), *call.at(0));
  if (!place) call.fail("does not find " + shown(call, *call.at(0)));
  return as_count(*place);
}

Value count(Call& call, const Value& self) {
  const auto& items = self.list()->items;
  return static_cast<std::int64_t>(std::count_if(
      items.begin(), items.end(), [&](const Value& item) { return equal(call.budget, item, *call.at(0)); }));
}

constexpr Builtin tuple_methods[] = {
    {"count", "value", 1, count},
    {"index", "value", 1, index},
};

constexpr Builtin list_methods[] = {
    {"append", "object", 1, append},   {"clear", "", 0, clear_list},          {"copy", "", 0, copy_list},
    {"extend", "iterable", 1, extend}, {"insert", "index object", 2, insert}, {"pop", "index", 0, pop_item},
    {"remove", "value", 1, remove},    {"reverse", "", 0, reverse},
};

Value get(Call& call, const Value& self) {
  if (const Value* value = self.dict()->find(call.budget, *call.at(0))) return *value;
  return call.has(1) ? *call.at(1) : Value(None{});
}

Value keys(Call& call, const Value& self) {
  List& list = call.in.make_list();
  for (const auto& item : self.dict()->items) list.push(call.budget, item.first);
  return &list;
}

Value values(Call& call, const Value& self) {
  List& list = call.in.make_list();
  for (const auto& item : self.dict()->items) list.push(call.budget, item.second);
  return &list;
}

Value items(Call& call, const Value& self) {
  List& list = call.in.make_list();
  for (const auto& [key, value] : self.dict()->items) {
    call.budget.step();
    list.push(call.budget, &call.in.make_tuple(key, value));
  }
  return &list;
}

Value pop_key(Call& call, const Value& self) {
  Dict& dict = *self.dict();
  const Value* found = dict.find(call.budget, *call.at(0));
  if (found == nullptr) {
    if (call.has(1)) return *call.at(1);
    call.fail("does not find " + shown(call, *call.at(0)));
  }
  const Value value = *found;
  dict.items.erase(std::find_if(dict.items.begin(), dict.items.end(),
                                [&](const auto& item) { return &item.second == found; }));
  return value;
}

Value set_default(Call& call, const Value& self) {
  if (const Value* value = self.dict()->find(call.budget, *call.at(0))) return *value;
  const Value value = call.has(1) ? *call.at(1) : Value(None{});
  self.dict()->set(call.budget, *call.at(0), value);
  return value;
}

Value update(Call& call, const Value& self) {
  fill_dict(call, *self.dict());
  return None{};
}

Value clear_dict(Call&, const Value& self) {
  self.dict()->items.clear();
  return None{};
}

Value copy_dict(Call& call, const Value& self) {
  auto& copy = call.in.make<Dict>();
  for (const auto& [key, value] : self.dict()->items) copy.set(call.budget, key, value);
  return &copy;
}

constexpr Builtin dict_methods[] = {
    {"clear", "", 0, clear_dict},
    {"copy", "", 0, copy_dict},
    {"get", "key default", 1, get},
    {"items", "", 0, items},
    {"keys", "", 0, keys},
    {"pop", "key default", 1, pop_key},
    {"setdefault", "key default", 1, set_default},
    {"update", "*", 0, update},
    {"values", "", 0, values},
};

}  // namespace

void fill_dict(Call& call, Dict& dict) {
  const Arguments& given = call.arguments;
  if (given.positional.size() > 1) call.fail("takes one dict and names with values");
  if (!given.positional.empty()) {
    const Value& source = given.positional.front();
    if (const Dict* other = source.dict()) {
      const auto items = other->items;  // a copy: it may be the dict itself
      for (const auto& [key, value] : items) dict.set(call.budget, key, value);
    } else {
      for (const Value& pair : iterate(call.in, source).items) {
        const List& parts = iterate(call.in, pair);
        if (parts.items.size() != 2) call.fail("needs pairs of key and value");
        dict.set(call.budget, parts.items[0], parts.items[1]);
      }
    }
  }
  for (const auto& [name, value] : given.named) dict.set(call.budget, call.in.make_text(name), value);
}

const Builtin* find_container_method(const Value& object, std::string_view name) {
  if (object.dict() != nullptr) return find_row(dict_methods, name);
  if (object.list() == nullptr) return nullptr;
  const Builtin* method = find_row(tuple_methods, name);
  return method == nullptr && !object.list()->is_tuple ? find_row(list_methods, name) : method;
}

}  // namespace troupe::jinja
