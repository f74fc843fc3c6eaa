// Methods of str, as Python has them.

#include <algorithm>

#include "base/utf8.hpp"
#include "template/builtin.hpp"
#include "template/search.hpp"
#include "template/unicode.hpp"

namespace troupe::jinja {
namespace {

const Text& text_at(const Call& call, std::size_t index) {
  const Text* text = call.at(index)->text();
  if (text == nullptr) call.fail("needs a str, not " + std::string(type_name(*call.at(index))));
  return *text;
}

Value upper_case(Call& call, const Value& self) {
  return map_runs(call.budget, *self.text(), upper);
}
Value lower_case(Call& call, const Value& self) {
  return map_runs(call.budget, *self.text(), lower);
}
Value capitalize(Call& call, const Value& self) {
  return capitalized(call.in, *self.text());
}
Value title_case(Call& call, const Value& self) {
  bool in_word = false;
  return map_runs(call.budget, *self.text(), [&](std::string_view run) { return title(run, in_word); });
}

Value strip_ends(Call& call, const Value& self, bool left, bool right) {
  return stripped(call.in, *self.text(), call.lacks(0) ? nullptr : &text_at(call, 0), left, right);
}
Value strip(Call& call, const Value& self) {
  return strip_ends(call, self, true, true);
}
Value strip_left(Call& call, const Value& self) {
  return strip_ends(call, self, true, false);
}
Value strip_right(Call& call, const Value& self) {
  return strip_ends(call, self, false, true);
}

Value replace(Call& call, const Value& self) {
  return replaced(call.in, *self.text(), text_at(call, 0), text_at(call, 1), call.integer(2, -1));
}

/// The text between two characters, as slices have it; what lies outside is cut.
struct Stretch {
  std::size_t begin = 0, end = 0;
  bool is_possible = true;
};

Stretch stretch_of(const Call& call, const Text& text, std::size_t first_parameter) {
  Stretch stretch{0, text.bytes().size(), true};
  if (call.lacks(first_parameter) && call.lacks(first_parameter + 1)) return stretch;
  call.budget.walk(text.bytes().size());
  const std::int64_t count = as_count(text.characters());
  const auto place = [&](std::size_t parameter, std::int64_t fallback) {
    const std::int64_t index = call.integer(parameter, fallback);
    return index < 0 ? std::max<std::int64_t>(0, index + count) : index;
  };
  const std::int64_t begin = place(first_parameter, 0);
  const std::int64_t end = std::min(place(first_parameter + 1, count), count);
  if (begin > end) return {0, 0, false};
  return {text.byte_of(static_cast<std::size_t>(begin)), text.byte_of(static_cast<std::size_t>(end)), true};
}

/// Whether the text begins (or ends) with the argument, or with one of those in a tuple.
Value has_affix(Call& call, const Value& self, bool at_end) {
  const Stretch stretch = stretch_of(call, *self.text(), 1);
  const std::string_view text = self.text()->bytes().substr(stretch.begin, stretch.end - stretch.begin);
  const auto has = [&](const Value& affix) {
    if (affix.text() == nullptr)
      call.fail("needs a str or a tuple of them, not " + std::string(type_name(affix)));
    call.budget.step();
    const std::string_view bytes = affix.text()->bytes();
    return stretch.is_possible && (at_end ? text.ends_with(bytes) : text.starts_with(bytes));
  };
  const List* several = call.at(0)->list();
  if (several == nullptr || !several->is_tuple) return has(*call.at(0));
  return std::any_of(several->items.begin(), several->items.end(), has);
}
Value starts_with(Call& call, const Value& self) {
  return has_affix(call, self, false);
}
Value ends_with(Call& call, const Value& self) {
  return has_affix(call, self, true);
}

/// The character that the argument begins at, or -1.
std::int64_t place_of_part(Call& call, const Value& self, bool from_end) {
  const Text& text = *self.text();
  const Stretch stretch = stretch_of(call, text, 1);
  if (!stretch.is_possible) return -1;
  const std::string_view bytes = text.bytes().substr(0, stretch.end);
  const std::string_view part = text_at(call, 0).bytes();
  std::size_t at = not_found;
  if (from_end) {
    at = find_last(call.budget, bytes.substr(stretch.begin), part);
    if (at != not_found) at += stretch.begin;
  } else {
    at = find_first(call.budget, bytes, part, stretch.begin);
  }
  if (at == not_found) return -1;
  call.budget.walk(at);
  return as_count(count_characters(bytes.substr(0, at)));
}
Value find(Call& call, const Value& self) {
  return place_of_part(call, self, false);
}
Value find_from_end(Call& call, const Value& self) {
  return place_of_part(call, self, true);
}
std::int64_t need_place(Call& call, std::int64_t place) {
  if (place < 0) call.fail("does not find " + in_quotes(text_at(call, 0).bytes()));
  return place;
}
Value index(Call& call, const Value& self) {
  return need_place(call, place_of_part(call, self, false));
}
Value index_from_end(Call& call, const Value& self) {
  return need_place(call, place_of_part(call, self, true));
}

Value count(Call& call, const Value& self) {
  const std::string_view part = text_at(call, 0).bytes();
  const Stretch stretch = stretch_of(call, *self.text(), 1);
  const std::string_view text = self.text()->bytes().substr(0, stretch.end);
  if (!stretch.is_possible) return std::int64_t{0};
  if (part.empty()) return as_count(count_characters(text.substr(stretch.begin)) + 1);
  std::int64_t found = 0;
  for (std::size_t at = find_first(call.budget, text, part, stretch.begin); at != not_found;
       at = find_first(call.budget, text, part, at + part.size())) {
    call.budget.step();
    ++found;
  }
  return found;
}

Value join(Call& call, const Value& self) {
  const List& list = iterate(call.in, *call.at(0));
  for (const Value& item : list.items) {
    if (item.text() == nullptr) call.fail("needs strings, not " + std::string(type_name(item)));
  }
  return joined_items(call.in, *self.text(), list);
}

Value split_into_lines(Call& call, const Value& self) {
  return &split_lines(call.in, *self.text(), call.truth(0, false));
}

/// Whether there are characters, all of which `is` holds for.
Value all_characters(Call& call, const Value& self, bool (*is)(char32_t)) {
  std::string_view rest = self.text()->bytes();
  call.budget.walk(rest.size());
  if (rest.empty()) return false;
  while (!rest.empty()) {
    const Utf8Step step = utf8_step(rest);
    if (!step.valid || !is(step.code)) return false;
    rest.remove_prefix(step.bytes);
  }
  return true;
}
Value has_digits(Call& call, const Value& self) {
  return all_characters(call, self, is_digit);
}
Value has_letters(Call& call, const Value& self) {
  return all_characters(call, self, is_letter);
}
Value has_letters_and_digits(Call& call, const Value& self) {
  return all_characters(call, self, [](char32_t code) { return is_letter(code) || is_digit(code); });
}
Value has_space(Call& call, const Value& self) {
  return all_characters(call, self, is_space);
}
Value has_upper(Call& call, const Value& self) {
  return run_builtin(call.in, *find_test("upper"), self, {});
}
Value has_lower(Call& call, const Value& self) {
  return run_builtin(call.in, *find_test("lower"), self, {});
}

std::string fill_at(const Call& call, std::size_t index) {
  if (!call.has(index)) return " ";
  const Text& fill = text_at(call, index);
  if (fill.characters() != 1) call.fail("fills with one character");
  return std::string(fill.bytes());
}
std::int64_t room(const Call& call, const Value& self) {
  return call.integer(0, 0) - as_count(self.text()->characters());
}
Value justify_left(Call& call, const Value& self) {
  return padded(call.in, *self.text(), 0, room(call, self), fill_at(call, 1));
}
Value justify_right(Call& call, const Value& self) {
  return padded(call.in, *self.text(), room(call, self), 0, fill_at(call, 1));
}
Value center(Call& call, const Value& self) {
  return centered(call, *self.text(), call.integer(0, 0), fill_at(call, 1));
}
Value fill_with_zeros(Call& call, const Value& self) {
  const Text& text = *self.text();
  const bool has_sign = text.bytes().starts_with('-') || text.bytes().starts_with('+');
  TextBuilder out(call.budget);
  out.append(text, 0, has_sign ? 1 : 0);
  const TextPtr rest = part_of(call.budget, text, has_sign ? 1 : 0, text.bytes().size());
  out.append(**padded(call.in, *rest, room(call, self), 0, "0").get<TextPtr>());
  return out.finish();
}

Value without_affix(Call& call, const Value& self, bool at_end) {
  const Text& text = *self.text();
  const std::string_view affix = text_at(call, 0).bytes();
  const bool has = at_end ? text.bytes().ends_with(affix) : text.bytes().starts_with(affix);
  if (!has) return self;
  const std::size_t kept = text.bytes().size() - affix.size();
  return at_end ? part_of(call.budget, text, 0, kept)
                : part_of(call.budget, text, affix.size(), text.bytes().size());
}
Value remove_prefix(Call& call, const Value& self) {
  return without_affix(call, self, false);
}
Value remove_suffix(Call& call, const Value& self) {
  return without_affix(call, self, true);
}

Value format(Call& call, const Value& self) {
  return format_braces(call.in, *self.text(), call.arguments);
}

constexpr Builtin methods[] = {
    {"capitalize", "", 0, capitalize},
    {"casefold", "", 0, lower_case},
    {"center", "width fillchar", 1, center},
    {"count", "sub start end", 1, count},
    {"endswith", "suffix start end", 1, ends_with},
    {"find", "sub start end", 1, find},
    {"format", "*", 0, format},
    {"index", "sub start end", 1, index},
    {"isalnum", "", 0, has_letters_and_digits},
    {"isalpha", "", 0, has_letters},
    {"isdecimal", "", 0, has_digits},
    {"isdigit", "", 0, has_digits},
    {"islower", "", 0, has_lower},
    {"isnumeric", "", 0, has_digits},
    {"isspace", "", 0, has_space},
    {"isupper", "", 0, has_upper},
    {"join", "iterable", 1, join},
    {"ljust", "width fillchar", 1, justify_left},
    {"lower", "", 0, lower_case},
    {"lstrip", "chars", 0, strip_left},
    {"removeprefix", "prefix", 1, remove_prefix},
    {"removesuffix", "suffix", 1, remove_suffix},
    {"replace", "old new count", 2, replace},
    {"rfind", "sub start end", 1, find_from_end},
    {"rindex", "sub start end", 1, index_from_end},
    {"rjust", "width fillchar", 1, justify_right},
    {"rstrip", "chars", 0, strip_right},
    {"splitlines", "keepends", 0, split_into_lines},
    {"startswith", "prefix start end", 1, starts_with},
    {"strip", "chars", 0, strip},
    {"title", "", 0, title_case},
    {"upper", "", 0, upper_case},
    {"zfill", "width", 1, fill_with_zeros},
};

}  // namespace

const Builtin* find_text_method(std::string_view name) {
  const Builtin* method = find_row(methods, name);
  return method != nullptr ? method : find_splitting_method(name);
}

}  // namespace troupe::jinja
