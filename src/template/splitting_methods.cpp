// Methods that cut a str into parts.

#include <algorithm>

#include "base/utf8.hpp"
#include "template/builtin.hpp"
#include "template/search.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

/// The separator; null for white space.
const Text* separator_of(const Call& call, std::size_t index) {
  if (call.lacks(index)) return nullptr;
  const Text* text = call.at(index)->text();
  if (text == nullptr) call.fail("needs a str, not " + std::string(type_name(*call.at(index))));
  if (text->empty()) call.fail("needs a separator that is not empty");
  return text;
}

void split_at_space(Call& call, const Text& text, std::int64_t splits_max, List& parts) {
  const std::string_view bytes = text.bytes();
  std::size_t at = leading_space_bytes(bytes);
  while (at < bytes.size()) {
    call.budget.step();
    std::size_t end = at;
    if (splits_max >= 0 && as_count(parts.items.size()) == splits_max) {
      end = bytes.size();  // what is not split keeps its white space
    } else {
      while (end < bytes.size()) {
        const Utf8Step step = utf8_step(bytes.substr(end));
        if (step.valid && is_space(step.code)) break;
        end += step.bytes;
      }
    }
    parts.push(call.budget, part_of(call.budget, text, at, end));
    call.budget.walk(end - at);
    at = end + leading_space_bytes(bytes.substr(end));
  }
}

void split_at(Call& call, const Text& text, std::string_view separator, std::int64_t splits_max,
              List& parts) {
  const std::string_view bytes = text.bytes();
  std::size_t begin = 0;
  while (splits_max < 0 || as_count(parts.items.size()) < splits_max) {
    call.budget.step();
    const std::size_t found = find_first(call.budget, bytes, separator, begin);
    if (found == not_found) break;
    parts.push(call.budget, part_of(call.budget, text, begin, found));
    begin = found + separator.size();
  }
  parts.push(call.budget, part_of(call.budget, text, begin, bytes.size()));
}

Value split(Call& call, const Value& self) {
  List& parts = call.in.make_list();
  const Text* separator = separator_of(call, 0);
  const std::int64_t splits_max = call.integer(1, -1);
  if (separator == nullptr) {
    split_at_space(call, *self.text(), splits_max, parts);
  } else {
    split_at(call, *self.text(), separator->bytes(), splits_max, parts);
  }
  return &parts;
}

/// From the end, as far as the number of splits makes a difference.
Value split_from_end(Call& call, const Value& self) {
  const std::int64_t splits_max = call.integer(1, -1);
  if (splits_max < 0) return split(call, self);
  const Text* separator = separator_of(call, 0);
  const Text& text = *self.text();
  std::vector<Value> backwards;
  std::size_t end = text.bytes().size();
  if (separator == nullptr) end -= trailing_space_bytes(text.bytes());
  while (as_count(backwards.size()) < splits_max) {
    call.budget.step();
    const std::string_view rest = text.bytes().substr(0, end);
    std::size_t begin = not_found;  // of the last part
    std::size_t before = 0;         // the end of what is in front of it
    if (separator != nullptr) {
      before = find_last(call.budget, rest, separator->bytes());
      if (before != not_found) begin = before + separator->bytes().size();
    } else {
      call.budget.walk(rest.size());
      for (std::size_t at = 0; at < rest.size();) {
        const Utf8Step step = utf8_step(rest.substr(at));
        at += step.bytes;
        if (step.valid && is_space(step.code)) begin = at;
      }
      if (begin != not_found) before = begin - trailing_space_bytes(rest.substr(0, begin));
    }
    if (begin == not_found) break;
    backwards.push_back(part_of(call.budget, text, begin, end));
    end = before;
  }
  List& parts = call.in.make_list();
  // In front of the first split white space stays too, unless there is nothing else.
  const bool is_blank = leading_space_bytes(text.bytes().substr(0, end)) == end;
  if (separator != nullptr || !is_blank) parts.push(call.budget, part_of(call.budget, text, 0, end));
  for (auto part = backwards.rbegin(); part != backwards.rend(); ++part) parts.push(call.budget, *part);
  return &parts;
}

/// Three parts: in front of the separator, itself, behind it.
Value partition_at(Call& call, const Value& self, bool from_end) {
  const Text& text = *self.text();
  const Text* separator = separator_of(call, 0);
  if (separator == nullptr) call.fail("needs a separator");
  const std::size_t at = from_end ? find_last(call.budget, text.bytes(), separator->bytes())
                                  : find_first(call.budget, text.bytes(), separator->bytes());
  List& parts = call.in.make_list();
  parts.is_tuple = true;
  const std::size_t size = text.bytes().size();
  if (at == not_found) {
    const Value nothing = call.in.make_text("");
    for (int i = 0; i < 3; ++i) parts.push(call.budget, i == (from_end ? 2 : 0) ? self : nothing);
    return &parts;
  }
  const std::size_t behind = at + separator->bytes().size();
  parts.push(call.budget, part_of(call.budget, text, 0, at));
  parts.push(call.budget, part_of(call.budget, text, at, behind));
  parts.push(call.budget, part_of(call.budget, text, behind, size));
  return &parts;
}
Value partition(Call& call, const Value& self) {
  return partition_at(call, self, false);
}
Value partition_from_end(Call& call, const Value& self) {
  return partition_at(call, self, true);
}

constexpr Builtin methods[] = {
    {"partition", "sep", 1, partition},
    {"rpartition", "sep", 1, partition_from_end},
    {"rsplit", "sep maxsplit", 0, split_from_end},
    {"split", "sep maxsplit", 0, split},
};

}  // namespace

const Builtin* find_splitting_method(std::string_view name) {
  return find_row(methods, name);
}

}  // namespace troupe::jinja
