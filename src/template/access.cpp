// Attributes, items, slices, iteration and calls.

#include <algorithm>

#include "base/utf8.hpp"
#include "template/builtin.hpp"

namespace troupe::jinja {
namespace {

Undefined no_attribute(const Value& object, std::string_view name) {
  std::string why = described(object);
  why.append(" has no attribute ").append(in_quotes(name));
  return {std::make_shared<const std::string>(std::move(why))};
}

Undefined no_element(Rendering& in, const Value& object, const Value& key) {
  TextBuilder repr(in.budget);
  append_repr(repr, in.budget, key);
  return {
      std::make_shared<const std::string>(described(object) + " has no element " + printable(repr.bytes()))};
}

/// A method of the object, or an attribute of its own.
std::optional<Value> own_attribute(Rendering& in, const Value& object, std::string_view name) {
  if (const Builtin* method = find_method(object, name)) {
    auto& bound = in.make<BoundBuiltin>();
    bound.builtin = method;
    bound.self = object;
    return Value(static_cast<Object*>(&bound));
  }
  if (Object* other = object.object()) return other->attribute(in, name);
  return std::nullopt;
}

/// Where `index` lies in a sequence of `size`, counted from the end when negative; nullopt outside.
std::optional<std::size_t> place_of(std::int64_t index, std::size_t size) {
  const std::int64_t place = index < 0 ? index + as_count(size) : index;
  if (place < 0 || place >= as_count(size)) return std::nullopt;
  return static_cast<std::size_t>(place);
}

struct Range {
  std::int64_t begin, end, step;
};

/// Python's slice.indices().
Range range_of(Rendering& in, std::size_t size, const Value& begin, const Value& end, const Value& step) {
  const auto given = [](const Value& value) { return !value.is_none(); };
  Range range{0, 0, given(step) ? integer_of(in, step, "a slice") : 1};
  if (range.step == 0) in.budget.fail("the step of a slice is 0");
  const std::int64_t count = as_count(size);
  const bool down = range.step < 0;
  const auto bound = [&](const Value& value, std::int64_t fallback) {
    if (!given(value)) return fallback;
    const std::int64_t index = integer_of(in, value, "a slice");
    const std::int64_t place = index < 0 ? index + count : index;
    return std::clamp<std::int64_t>(place, down ? -1 : 0, down ? count - 1 : count);
  };
  range.begin = bound(begin, down ? count - 1 : 0);
  range.end = bound(end, down ? -1 : count);
  return range;
}

/// Calls `take` with each index of the range.
template <class Take>
void each_index(Rendering& in, const Range& range, Take take) {
  for (std::int64_t i = range.begin; range.step > 0 ? i < range.end : i > range.end;) {
    in.budget.step();
    take(static_cast<std::size_t>(i));
    if (__builtin_add_overflow(i, range.step, &i)) break;
  }
}

Value slice_of_text(Rendering& in, const Text& text, const Range& range) {
  if (range.step == 1) {
    if (range.begin >= range.end) return in.make_text("");
    in.budget.walk(text.bytes().size());
    return part_of(in.budget, text, text.byte_of(static_cast<std::size_t>(range.begin)),
                   text.byte_of(static_cast<std::size_t>(range.end)));
  }
  // Where each character begins, so that the whole is linear.
  std::vector<std::size_t> begins;
  in.budget.step(text.bytes().size());
  for (std::size_t at = 0; at < text.bytes().size(); at += utf8_step(text.bytes().substr(at)).bytes) {
    begins.push_back(at);
  }
  begins.push_back(text.bytes().size());
  TextBuilder builder(in.budget);
  each_index(in, range, [&](std::size_t i) { builder.append(text, begins[i], begins[i + 1]); });
  return builder.finish();
}

}  // namespace

void fail_undefined(Rendering& in, const Undefined& undefined) {
  in.budget.fail(undefined.why ? *undefined.why : "an undefined value is used");
}

std::int64_t integer_of(Rendering& in, const Value& value, std::string_view what) {
  if (const auto number = value.as_integer()) return *number;
  if (const auto* undefined = value.get<Undefined>()) fail_undefined(in, *undefined);
  in.budget.fail(std::string(what) + " needs an int, not " + std::string(type_name(value)));
}

Value attribute_of(Rendering& in, const Value& object, std::string_view name) {
  in.budget.step();
  if (const auto* undefined = object.get<Undefined>()) fail_undefined(in, *undefined);
  if (auto own = own_attribute(in, object, name)) return *std::move(own);
  if (const Dict* dict = object.dict()) {
    if (const Value* value = dict->find(in.budget, name)) return *value;
  }
  return no_attribute(object, name);
}

Value item_of(Rendering& in, const Value& object, const Value& key) {
  in.budget.step();
  if (const auto* undefined = object.get<Undefined>()) fail_undefined(in, *undefined);
  const auto index = key.as_integer();
  if (const Dict* dict = object.dict()) {
    if (const Value* value = dict->find(in.budget, key)) return *value;
  } else if (const List* list = object.list(); list != nullptr && index) {
    if (const auto place = place_of(*index, list->items.size())) return list->items[*place];
  } else if (const Text* text = object.text(); text != nullptr && index) {
    in.budget.walk(text->bytes().size());
    if (const auto place = place_of(*index, text->characters())) {
      return part_of(in.budget, *text, text->byte_of(*place), text->byte_of(*place + 1));
    }
  }
  const Text* name = key.text();
  if (name == nullptr) return no_element(in, object, key);
  if (auto own = own_attribute(in, object, name->bytes())) return *std::move(own);
  return no_attribute(object, name->bytes());
}

Value slice_of(Rendering& in, const Value& object, const Value& begin, const Value& end, const Value& step) {
  in.budget.step();
  if (const Text* text = object.text()) {
    in.budget.walk(text->bytes().size());
    return slice_of_text(in, *text, range_of(in, text->characters(), begin, end, step));
  }
  if (const List* list = object.list()) {
    List& part = in.make_list();
    part.is_tuple = list->is_tuple;
    each_index(in, range_of(in, list->items.size(), begin, end, step),
               [&](std::size_t i) { part.push(in.budget, list->items[i]); });
    return &part;
  }
  if (const auto* undefined = object.get<Undefined>()) fail_undefined(in, *undefined);
  return no_element(in, object, in.make_text("slice"));
}

List& iterate(Rendering& in, const Value& value) {
  in.budget.step();
  if (List* list = value.list()) return *list;
  List& items = in.make_list();
  if (value.is_undefined()) return items;
  if (const Dict* dict = value.dict()) {
    in.budget.step(dict->items.size());
    for (const auto& item : dict->items) items.push(in.budget, item.first);
    return items;
  }
  if (const Text* text = value.text()) {
    for (std::size_t at = 0; at < text->bytes().size();) {
      const std::size_t end = at + utf8_step(text->bytes().substr(at)).bytes;
      in.budget.step();
      items.push(in.budget, part_of(in.budget, *text, at, end));
      at = end;
    }
    return items;
  }
  in.budget.fail(std::string(type_name(value)) + " is nothing to loop over");
}

Value call_value(Rendering& in, const Value& callee, const Arguments& arguments) {
  if (is_callable(callee)) return callee.object()->call(in, arguments);
  if (const auto* undefined = callee.get<Undefined>()) fail_undefined(in, *undefined);
  in.budget.fail(std::string(type_name(callee)) + " is no function to call");
}

}  // namespace troupe::jinja
