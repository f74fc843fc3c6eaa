// Filters of lists and dicts. Those that are lazy in Jinja give lists here: the difference shows only where a
// template would print a generator.

#include <algorithm>

#include "base/utf8.hpp"
#include "template/builtin.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

List& copied(Rendering& in, const List& list) {
  List& copy = in.make_list();
  in.budget.step(list.items.size());
  for (const Value& item : list.items) copy.push(in.budget, item);
  return copy;
}

const Dict& need_dict(const Call& call, const Value& self) {
  if (const Dict* dict = self.dict()) return *dict;
  if (const auto* undefined = self.get<Undefined>()) fail_undefined(call.in, *undefined);
  call.fail("needs a dict, not " + std::string(type_name(self)));
}

Value nothing_there(const char* what) {
  return Undefined{std::make_shared<const std::string>(what)};
}

Value length(Call& call, const Value& self) {
  if (const Text* text = self.text()) {
    call.budget.walk(text->bytes().size());
    return as_count(text->characters());
  }
  if (const Dict* dict = self.dict()) return as_count(dict->items.size());
  if (self.is_undefined()) return std::int64_t{0};
  if (self.list() == nullptr) call.fail("does not work with " + std::string(type_name(self)));
  return as_count(self.list()->items.size());
}

Value first(Call& call, const Value& self) {
  const List& items = iterate(call.in, self);
  return items.items.empty() ? nothing_there("there is no first item: the sequence is empty")
                             : items.items.front();
}

Value last(Call& call, const Value& self) {
  const List& items = iterate(call.in, self);
  return items.items.empty() ? nothing_there("there is no last item: the sequence is empty")
                             : items.items.back();
}

Value join(Call& call, const Value& self) {
  const TextPtr separator = call.has(0) ? call.text(0) : literal_text("");
  const List& items = iterate(call.in, self);
  if (call.lacks(1)) return joined_items(call.in, *separator, items);
  List& parts = call.in.make_list();
  for (const Value& item : items.items) parts.push(call.budget, attribute_path(call.in, item, *call.at(1)));
  return joined_items(call.in, *separator, parts);
}

Value as_list(Call& call, const Value& self) {
  List& list = copied(call.in, iterate(call.in, self));
  return &list;
}

Value items(Call& call, const Value& self) {
  List& pairs = call.in.make_list();
  if (self.is_undefined()) return &pairs;
  for (const auto& [key, value] : need_dict(call, self).items) {
    pairs.push(call.budget, &call.in.make_tuple(key, value));
  }
  return &pairs;
}

Value reverse(Call& call, const Value& self) {
  if (self.text() != nullptr) return slice_of(call.in, self, None{}, None{}, std::int64_t{-1});
  const List& items = iterate(call.in, self);
  List& backwards = call.in.make_list();
  call.budget.step(items.items.size());
  for (auto item = items.items.rbegin(); item != items.items.rend(); ++item)
    backwards.push(call.budget, *item);
  return &backwards;
}

/// A text in lower case, for comparisons that do not tell cases apart; others as they are.
Value folded(Call& call, const Value& value, bool case_sensitive) {
  if (case_sensitive || value.text() == nullptr) return value;
  return map_runs(call.budget, *value.text(), lower);
}

Value sort_key(Call& call, const Value& item, const Value* path, bool case_sensitive) {
  return folded(call, path == nullptr ? item : attribute_path(call.in, item, *path), case_sensitive);
}

/// What a list is sorted by: "name" or "name,age".
Value sort_keys(Call& call, const Value& item, const Value* path, bool case_sensitive) {
  const Text* names = path == nullptr ? nullptr : path->text();
  if (names == nullptr || names->bytes().find(',') == std::string_view::npos) {
    return sort_key(call, item, path, case_sensitive);
  }
  List& keys = call.in.make_list();
  std::string_view rest = names->bytes();
  while (true) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const Value name = call.in.make_text(rest.substr(0, comma));
    keys.push(call.budget, sort_key(call, item, &name, case_sensitive));
    if (comma == rest.size()) return &keys;
    rest.remove_prefix(comma + 1);
  }
}

const Value* path_at(const Call& call, std::size_t index) {
  return call.lacks(index) ? nullptr : call.at(index);
}

/// The items with their keys. `many` keys: a path may name several.
std::vector<std::pair<Value, Value>> keyed(Call& call, const Value& self, const Value* path,
                                           bool case_sensitive, bool many) {
  const List& list = iterate(call.in, self);
  call.budget.hold(list.items.size() * 2 * sizeof(Value));
  std::vector<std::pair<Value, Value>> out;
  out.reserve(list.items.size());
  for (const Value& item : list.items) {
    out.emplace_back(
        many ? sort_keys(call, item, path, case_sensitive) : sort_key(call, item, path, case_sensitive),
        item);
  }
  return out;
}

Value sort(Call& call, const Value& self) {
  auto pairs = keyed(call, self, path_at(call, 2), call.truth(1, false), true);
  sort_values(call.in, pairs, call.truth(0, false));
  List& sorted = call.in.make_list();
  for (const auto& pair : pairs) sorted.push(call.budget, pair.second);
  return &sorted;
}

Value dictsort(Call& call, const Value& self) {
  const TextPtr by = call.text(1);
  if (by != nullptr && by->bytes() != "key" && by->bytes() != "value")
    call.fail("sorts by \"key\" or \"value\"");
  const bool by_value = by != nullptr && by->bytes() == "value";
  std::vector<std::pair<Value, Value>> pairs;
  for (const auto& [key, value] : need_dict(call, self).items) {
    pairs.emplace_back(folded(call, by_value ? value : key, call.truth(0, false)),
                       Value(&call.in.make_tuple(key, value)));
  }
  sort_values(call.in, pairs, call.truth(2, false));
  List& sorted = call.in.make_list();
  for (const auto& pair : pairs) sorted.push(call.budget, pair.second);
  return &sorted;
}

Value extreme(Call& call, const Value& self, bool greatest) {
  const auto pairs = keyed(call, self, path_at(call, 1), call.truth(0, false), false);
  if (pairs.empty()) return nothing_there("there is no such item: the sequence is empty");
  const auto* best = &pairs.front();
  for (const auto& pair : pairs) {
    if (greatest ? less(call.budget, best->first, pair.first) : less(call.budget, pair.first, best->first)) {
      best = &pair;
    }
  }
  return best->second;
}

Value greatest(Call& call, const Value& self) {
  return extreme(call, self, true);
}

Value least(Call& call, const Value& self) {
  return extreme(call, self, false);
}

Value unique(Call& call, const Value& self) {
  List& kept = call.in.make_list();
  std::vector<Value> seen;
  for (const auto& [key, item] : keyed(call, self, path_at(call, 1), call.truth(0, false), false)) {
    const auto same = [&, &wanted = key](const Value& other) { return equal(call.budget, other, wanted); };
    if (std::any_of(seen.begin(), seen.end(), same)) continue;
    seen.push_back(key);
    kept.push(call.budget, item);
  }
  return &kept;
}

Value sum(Call& call, const Value& self) {
  Value total = std::int64_t{0};
  if (call.has(1)) total = *call.at(1);
  for (const Value& item : iterate(call.in, self).items) {
    const Value term = call.lacks(0) ? item : attribute_path(call.in, item, *call.at(0));
    total = calculate(call.in, Operator::add, total, term);
  }
  return total;
}

/// How many to a part: at least one.
std::int64_t part_count(const Call& call) {
  const std::int64_t count = call.integer(0, 1);
  if (count < 1) call.fail("needs a number of at least 1");
  return count;
}

Value batch(Call& call, const Value& self) {
  const std::int64_t size = part_count(call);
  List& batches = call.in.make_list();
  List* current = nullptr;
  for (const Value& item : iterate(call.in, self).items) {
    if (current == nullptr || as_count(current->items.size()) == size) {
      current = &call.in.make_list();
      batches.push(call.budget, current);
    }
    current->push(call.budget, item);
  }
  while (current != nullptr && !call.lacks(1) && as_count(current->items.size()) < size) {
    call.budget.step();
    current->push(call.budget, *call.at(1));
  }
  return &batches;
}

Value slice(Call& call, const Value& self) {
  const List& all = iterate(call.in, self);
  const std::int64_t count = part_count(call);
  const std::int64_t size = as_count(all.items.size());
  List& slices = call.in.make_list();
  auto next = all.items.begin();
  for (std::int64_t i = 0; i < count; ++i) {
    call.budget.step();
    List& slice = call.in.make_list();
    const bool has_extra = i < size % count;
    for (std::int64_t k = size / count + (has_extra ? 1 : 0); k > 0; --k) slice.push(call.budget, *next++);
    if (!call.lacks(1) && !has_extra) slice.push(call.budget, *call.at(1));
    slices.push(call.budget, &slice);
  }
  return &slices;
}

constexpr Builtin filters[] = {
    {"batch", "linecount fill_with", 1, batch},
    {"count", "", 0, length},
    {"dictsort", "case_sensitive by reverse", 0, dictsort},
    {"first", "", 0, first},
    {"items", "", 0, items},
    {"join", "d attribute", 0, join},
    {"last", "", 0, last},
    {"length", "", 0, length},
    {"list", "", 0, as_list},
    {"max", "case_sensitive attribute", 0, greatest},
    {"min", "case_sensitive attribute", 0, least},
    {"reverse", "", 0, reverse},
    {"slice", "slices fill_with", 1, slice},
    {"sort", "reverse case_sensitive attribute", 0, sort},
    {"sum", "attribute start", 0, sum},
    {"unique", "case_sensitive attribute", 0, unique},
};

}  // namespace

const Builtin* find_list_filter(std::string_view name) {
  return find_row(filters, name);
}

}  // namespace troupe::jinja
